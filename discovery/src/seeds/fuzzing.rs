//! Fuzz targets: what files say of addresses. See [`crate::fuzzing`].

#![expect(clippy::missing_panics_doc, reason = "a fuzz target panics where something is wrong")]

use super::files;

/// The file in which a node tells its addresses.
pub fn discovery_address_file(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for address in files::addresses_in(text) {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
}
