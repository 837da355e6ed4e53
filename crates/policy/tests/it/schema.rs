//! The schema is complete: shipped policies fit it strictly, and so does every request.

use cedar_policy::{
    Context, EntityId, EntityTypeName, EntityUid, PolicySet, Request, Schema, ValidationMode, Validator,
};

use crate::plans::plans;
use crate::world::SHIPPED;

fn schema() -> Schema {
    SHIPPED.document().files["base/schema.cedarschema"].parse().unwrap()
}

fn uid(kind: &str, name: &str) -> EntityUid {
    let kind: EntityTypeName = kind.parse().unwrap();
    EntityUid::from_type_name_and_id(kind, EntityId::new(name))
}

#[test]
fn shipped_policies_fit_the_schema() {
    let validator = Validator::new(schema());
    for (path, text) in SHIPPED.document().files.iter().filter(|(path, _)| path.ends_with(".cedar")) {
        let policies: PolicySet = text.parse().unwrap();
        let result = validator.validate(&policies, ValidationMode::Strict);
        assert!(result.validation_passed(), "{path}: {result}");
        assert!(result.validation_passed_without_warnings(), "{path}: {result}");
    }
}

#[test]
fn every_request_fits_the_schema() {
    let schema = schema();
    for plan in plans() {
        for one in plan.case.question().requests {
            let action = uid("Action", one.action.as_str());
            let context = serde_json::to_value(&one.context).unwrap();
            let context = Context::from_json_value(context, Some((&schema, &action))).unwrap();
            let resource = uid(one.resource.kind.as_str(), &one.resource.name);
            let asked = Request::new(uid("User", "ada"), action, resource, context, Some(&schema));
            assert!(asked.is_ok(), "{}: {}: {:?}", plan.name, one.element, asked.err());
        }
    }
}
