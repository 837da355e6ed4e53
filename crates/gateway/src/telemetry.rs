//! Hosts that collect what programs say about their own use.
//!
//! Many libraries tell their makers that they are used, without being asked. A run grants them nothing, and who
//! reads its record should not take such an attempt for an attack. So this only names a host that was denied;
//! it decides nothing.
//!
//! Each host stands in the source or the documentation of what it belongs to. A host that serves something else,
//! too, is not here: telemetry of Hugging Face goes to the host of its models.

use aseptic_model::HostName;

/// Hosts, with all names below them, and whose they are. The first that fits counts.
const COLLECTORS: [(&str, &str); 37] = [
    // Libraries and tools.
    ("analytics.dvc.org", "DVC"),
    ("analytics.zenml.io", "ZenML"),
    ("api.gradio.app", "Gradio"),
    ("data.streamlit.io", "Streamlit"),
    ("fishtownanalytics.sinter-collect.com", "dbt"),
    ("mlflow-telemetry.io", "MLflow"),
    ("o151352.ingest.sentry.io", "Weights & Biases"),
    ("o151352.ingest.us.sentry.io", "Weights & Biases"),
    ("packages.unstructured.io", "Unstructured"),
    ("sens-o-matic.prefect.io", "Prefect"),
    ("stats.greatexpectations.io", "Great Expectations"),
    ("stats.vllm.ai", "vLLM"),
    ("stats.whylogs.com", "whylogs"),
    ("t.bentoml.com", "BentoML"),
    ("tele.labelstud.io", "Label Studio"),
    ("telemetry.crewai.com", "CrewAI"),
    ("telemetry.dagster.io", "Dagster"),
    ("telemetry.go.dev", "Go"),
    ("telemetry.mlem.dev", "MLEM"),
    ("telemetry.nextjs.org", "Next.js"),
    ("telemetry.qdrant.io", "Qdrant"),
    ("usage-stats.ray.io", "Ray"),
    ("usage.feast.dev", "Feast"),
    // Services that collect for whoever pays them.
    ("api.eu.amplitude.com", "Amplitude"),
    ("api2.amplitude.com", "Amplitude"),
    ("api-eu.mixpanel.com", "Mixpanel"),
    ("api.mixpanel.com", "Mixpanel"),
    ("api.segment.io", "Segment"),
    ("dc.services.visualstudio.com", "Application Insights"),
    ("google-analytics.com", "Google Analytics"),
    ("heapanalytics.com", "Heap"),
    ("ingest.sentry.io", "Sentry"),
    ("ingest.us.sentry.io", "Sentry"),
    ("ingest.de.sentry.io", "Sentry"),
    ("app.posthog.com", "PostHog"),
    ("eu.posthog.com", "PostHog"),
    ("i.posthog.com", "PostHog"),
];

/// Whose telemetry goes to `host`, if it is known for that.
#[must_use]
pub fn telemetry(host: &HostName) -> Option<&'static str> {
    let is_at = |known: &str| {
        host.as_str().strip_suffix(known).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    };
    COLLECTORS.iter().find(|(known, _)| is_at(known)).map(|(_, product)| *product)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(host: &str) -> Option<&'static str> {
        telemetry(&host.parse().unwrap())
    }

    #[test]
    fn collectors_are_known() {
        for (host, expected) in [
            ("config.mlflow-telemetry.io", "MLflow"),
            ("o151352.ingest.us.sentry.io", "Weights & Biases"),
            ("o1.ingest.us.sentry.io", "Sentry"),
            ("usage-stats.ray.io", "Ray"),
            ("us.i.posthog.com", "PostHog"),
            ("www.google-analytics.com", "Google Analytics"),
        ] {
            assert_eq!(product(host), Some(expected), "{host}");
        }
    }

    #[test]
    fn other_hosts_are_not() {
        for host in [
            "huggingface.co",
            "ray.io",
            "dvc.org",
            "noti.posthog.com",
            "i.posthog.com.example.org",
            "posthog.com",
        ] {
            assert_eq!(product(host), None, "{host}");
        }
    }

    #[test]
    fn each_collector_is_a_host_and_stands_once() {
        for (at, (host, product)) in COLLECTORS.iter().enumerate() {
            assert_eq!(host.parse::<HostName>().unwrap().as_str(), *host);
            let first = COLLECTORS.iter().position(|(known, _)| host.ends_with(known));
            assert_eq!(first, Some(at), "{host} of {product} is never found");
        }
    }
}
