//! Rules in a redis server, which many routers share and many programs write.

mod formats;
mod reading;

use super::follow::Found;
use crate::redis::{Connection, Content};
use formats::{PREFIXES, name_of};
use std::collections::HashSet;

/// The rules of a server.
pub(super) struct Rules;

impl Content for Rules {
    type Found = Found;
    const WHAT: &'static str = "rules";

    fn prefixes(&self) -> Vec<Vec<u8>> {
        PREFIXES.map(Into::into).into()
    }

    fn name_of(&self, key: &[u8]) -> Option<Vec<u8>> {
        name_of(key).map(|(_, name)| name.to_vec())
    }

    async fn all(&self, connection: &mut Connection) -> Result<Found, String> {
        reading::all(connection).await
    }

    async fn some(&self, connection: &mut Connection, names: HashSet<Vec<u8>>) -> Result<Found, String> {
        reading::some(connection, names).await
    }

    fn nothing(why: String) -> Found {
        Found::Nothing(why)
    }

    fn is_empty(found: &Found) -> bool {
        found.is_empty()
    }
}
