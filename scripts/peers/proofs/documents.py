"""Documents for archives, catalogs and inventories, and the schemas of their formats, without the network."""

import json
import shutil
from pathlib import Path

import jsonschema
import referencing
import requests
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from referencing.jsonschema import DRAFT202012

from verdicts import Refused

SCHEMAS = Path(__file__).resolve().parent / "schemas"
CRATE_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
CRATE_PROFILE = "process-run-crate-0.5"


def as_cyclonedx(path):
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text())
    if error is not None:
        raise Refused(str(getattr(error, "data", error)))


class Vendored:
    """In the place of the validator's HTTP session: it has one document, and nothing else exists."""

    def get(self, url, **_):
        answer = requests.Response()
        answer.url, answer.status_code = url, 504
        if url == CRATE_CONTEXT:
            answer.status_code = 200
            answer.headers["Content-Type"] = "application/ld+json"
            answer._content = (SCHEMAS / "ro-crate-1.1-context.jsonld").read_bytes()
        return answer

    head = fetch_fresh = get

    def close(self):
        """Nothing is open."""


def as_crate(directory):
    """Every check of the profile and of the ones that it builds on, with the context that they name."""
    from rocrate_validator import services
    from rocrate_validator.models import Severity
    from rocrate_validator.utils.http import HttpRequester

    cache = directory.parent / "crate-cache"
    settings = services.ValidationSettings(
        rocrate_uri=str(directory),
        profile_identifier=CRATE_PROFILE,
        requirement_severity=Severity.REQUIRED,
        offline=True,
        cache_path=cache,
    )
    HttpRequester().session = Vendored()
    result = services.validate(settings)
    if not result.passed():
        raise Refused("; ".join(sorted({str(issue.message) for issue in result.get_issues()})))


def as_croissant(path):
    import mlcroissant

    mlcroissant.Dataset(jsonld=str(path))


def schemas_of(directory):
    """All schemas of a directory, by the address that they call themselves."""
    found = {}
    for path in sorted(directory.rglob("*.json")):
        schema = json.loads(path.read_text())
        found[schema["$id"]] = schema
    return found


def refuse_retrieval(uri):
    raise Refused(f"{uri} is not here, and nothing is fetched")


def validator_for(schema, known):
    resources = [(uri, referencing.Resource.from_contents(one, default_specification=DRAFT202012)) for uri, one in known.items()]
    registry = referencing.Registry(retrieve=refuse_retrieval).with_resources(resources)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return kind(schema, registry=registry, format_checker=kind.FORMAT_CHECKER)


def refuse_all(validator, document):
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if error is not None:
        raise Refused(f"{error.json_path}: {error.message}")


def as_openlineage(event):
    """The event, and each of its facets by the schema that the facet itself names."""
    known = schemas_of(SCHEMAS / "openlineage")
    spec = next(uri for uri in known if uri.endswith("/OpenLineage.json"))
    named = event["schemaURL"].partition("#")[0]
    if named != spec:
        raise Refused(f"the schema {named} is not here")
    refuse_all(validator_for({"$ref": f"{spec}#/$defs/RunEvent"}, known), event)
    datasets = [*event.get("inputs", []), *event.get("outputs", [])]
    for holder in (event["run"], event["job"], *datasets):
        for member in ("facets", "inputFacets", "outputFacets"):
            for name, facet in holder.get(member, {}).items():
                refuse_all(validator_for({"$ref": facet["_schemaURL"]}, known), facet)


def as_event(entry, formats):
    """An entry of the ledger, by the published schema, which leads to that of its type."""
    known = schemas_of(formats)
    kind = entry["event"]["type"]
    if not (formats / f"events/{kind}.json").is_file():
        raise Refused(f"no schema is published for {kind}")
    root = next(schema for uri, schema in known.items() if uri.endswith("/entry.json"))
    refuse_all(validator_for(root, known), entry)


def changed(document, place, change):
    """A file with the document as `change` leaves it."""
    copy = json.loads(json.dumps(document))
    change(copy)
    place.write_text(json.dumps(copy))
    return place


def check_cyclonedx(verdicts, path, place):
    tool, document = "cyclonedx-python-lib", json.loads(path.read_text())

    def other_kind(bom):
        bom["components"][0]["type"] = "brain"

    def unknown(bom):
        bom["colour"] = "red"

    verdicts.accepts(tool, "the ML-BOM", as_cyclonedx, path)
    bad = place / "bad.cdx.json"
    verdicts.refuses(tool, "an ML-BOM with another type of component", as_cyclonedx, changed(document, bad, other_kind))
    verdicts.refuses(tool, "an ML-BOM with an unknown field", as_cyclonedx, changed(document, bad, unknown))


def check_crate(verdicts, directory, place):
    tool, described = "roc-validator", json.loads((directory / "ro-crate-metadata.json").read_text())

    def damaged(change):
        bad = place / "bad-crate"
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(directory, bad)
        changed(described, bad / "ro-crate-metadata.json", change)
        return bad

    def no_instrument(crate):
        next(node for node in crate["@graph"] if node["@type"] == "CreateAction").pop("instrument")

    def no_date(crate):
        next(node for node in crate["@graph"] if node["@id"] == "./").pop("datePublished")

    verdicts.accepts(tool, "the Process Run Crate", as_crate, directory)
    verdicts.refuses(tool, "a crate whose action has no instrument", as_crate, damaged(no_instrument))
    verdicts.refuses(tool, "a crate without a date", as_crate, damaged(no_date))


def check_croissant(verdicts, path, place):
    tool, document = "mlcroissant", json.loads(path.read_text())

    def no_hash(dataset):
        for file in dataset["distribution"]:
            file.pop("sha256", None)
            file.pop("md5", None)

    def no_address(dataset):
        for file in dataset["distribution"]:
            file.pop("contentUrl", None)

    verdicts.accepts(tool, "the Croissant of a dataset", as_croissant, path)
    bad = place / "bad-croissant.json"
    verdicts.refuses(tool, "a Croissant without hashes", as_croissant, changed(document, bad, no_hash))
    verdicts.refuses(tool, "a Croissant whose files are nowhere", as_croissant, changed(document, bad, no_address))


def check_openlineage(verdicts, events):
    tool = "jsonschema (OpenLineage)"
    for event in events:
        name = f"the {event['eventType']} event"
        verdicts.accepts(tool, name, as_openlineage, event)
        verdicts.refuses(tool, f"{name} of another type", as_openlineage, event | {"eventType": "DONE"})
        verdicts.refuses(tool, f"{name} of a run that is no UUID", as_openlineage, event | {"run": event["run"] | {"runId": "run-7"}})
        verdicts.refuses(tool, f"{name} without its job", as_openlineage, {key: event[key] for key in event if key != "job"})


def check_events(verdicts, entries, schemas):
    tool, seen = "jsonschema (events)", {}
    for entry in entries:
        seen.setdefault(entry["event"]["type"], entry)
        try:
            as_event(entry, schemas)
        except Refused as error:
            verdicts.line(False, f"{tool} refuses an entry {entry['event']['type']}: {error}")
    for kind, entry in sorted(seen.items()):
        verdicts.accepts(tool, f"{kind}", as_event, entry, schemas)
        body = entry["event"]["body"]
        bad = entry | {"event": entry["event"] | {"body": body | {"unknown": 1}}}
        verdicts.refuses(tool, f"{kind} with an unknown field", as_event, bad, schemas)
        if body:
            bad = entry | {"event": entry["event"] | {"body": body | {next(iter(body)): [[]]}}}
            verdicts.refuses(tool, f"{kind} with a field of another type", as_event, bad, schemas)
    verdicts.holds(f"{len(seen)} types of entries, {len(entries)} entries", len(seen) > 5)
