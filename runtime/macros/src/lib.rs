//! The attribute that turns a trait into a qmesh service contract.
//!
//! Depend on the crate `qmesh`, which re-exports [`macro@service`] as `qmesh::service`; what is generated names that
//! crate and no other.
//!
//! The code, in reading order:
//!
//! - `options`: what stands in the attribute's parentheses
//! - `contract`: the user's trait, read and found sound, or the reasons why not
//! - `signature`: the canonical spelling of a type, which both sides of a call compare
//! - `expand`: the items made of a contract
//! - `problems`: complaints, collected so that all are reported at once

mod contract;
mod expand;
mod options;
mod problems;
mod signature;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

#[doc = include_str!("service.md")]
#[proc_macro_attribute]
pub fn service(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::service(attribute.into(), item.into()).into()
}
