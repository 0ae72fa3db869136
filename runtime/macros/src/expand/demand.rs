//! What is demanded of the types in a contract, so that a type that cannot travel is reported where the user wrote it.

use std::collections::BTreeSet;

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens as _;
use syn::Type;
use syn::spanned::Spanned as _;

use super::{Expansion, own_span};
use crate::contract::Output;

// === impl Expansion ===

impl Expansion<'_> {
    /// A function that is never called and compiles only if every type in the contract can travel.
    pub(super) fn demand_travelling_types(&self) -> TokenStream {
        let Self { private, .. } = self;
        let methods = &self.contract.methods;
        let arguments = methods.iter().flat_map(|method| method.values()).map(|parameter| &parameter.ty);
        let items = methods.iter().filter_map(|method| method.upload()?.item.as_ref());
        let answers = methods.iter().flat_map(|method| {
            let Output { value, item, error } = &method.output;
            [item.as_ref().unwrap_or(value)].into_iter().chain(error)
        });
        let answers = items.chain(answers);
        let (arguments, answers) = (demand("argument", arguments), demand("answer", answers));
        generate! {
            const _: () = {
                // That an argument is data is demanded where its struct derives serde's traits.
                fn argument<T: ::core::marker::Send + 'static>() {}
                fn answer<T>()
                where
                    T: #private::serde::Serialize
                        + #private::serde::de::DeserializeOwned
                        + ::core::marker::Send
                        + 'static,
                {
                }
                fn contract() {
                    #arguments
                    #answers
                }
            };
        }
    }
}

/// `answer::<Vec<Line>>();` for each type, with complaints under the type.
fn demand<'a>(role: &str, types: impl Iterator<Item = &'a Type>) -> TokenStream {
    let mut seen = BTreeSet::new();
    types
        .filter(|ty| seen.insert(ty.to_token_stream().to_string()))
        .map(|ty| {
            let role = Ident::new(role, own_span(ty.span()));
            generate!(#role::<#ty>();)
        })
        .collect()
}
