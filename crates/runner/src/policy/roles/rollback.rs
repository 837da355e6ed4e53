//! Roles that were replaced stay replaced: their signature is still good, and whoever may put policies in force does not
//! decide on roles.

use aseptic_model::ProjectName;
use aseptic_policy::PolicyDocument;

use super::{ROLES, RolesError};
use crate::home::{Home, HomeError};

/// Whether the roles of `document` are none that were in force before those of now. Reads every set that ever was.
///
/// # Errors
/// [`RolesError::Replaced`], and [`RolesError::Home`] where an earlier set cannot be read: nobody knows then.
pub(in crate::policy) fn not_replaced(
    home: &Home,
    project: &ProjectName,
    document: &PolicyDocument,
) -> Result<(), RolesError> {
    let path = format!("policy/{ROLES}");
    let Some(roles) = document.files.get(&path) else { return Ok(()) };
    let mut replaced = None;
    for applied in home.catalog.policies_applied(project, u32::MAX).map_err(HomeError::from)? {
        let mut earlier: PolicyDocument = home.object(project, &applied.policy)?;
        match (earlier.files.remove(&path), replaced) {
            (Some(earlier), None) if earlier == *roles => return Ok(()), // They are in force.
            (Some(earlier), Some(replaced)) if earlier == *roles => {
                return Err(RolesError::Replaced { replaced });
            }
            (Some(_), _) => replaced = Some(applied.time),
            (None, _) => {}
        }
    }
    Ok(())
}
