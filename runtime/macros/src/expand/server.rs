//! The server: what a node is given to serve.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::Expansion;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub struct ChatServer;` and its `new`.
    pub(super) fn declare_server(&self) -> TokenStream {
        let Self { private, visibility, service, contract_type, server, implementation, .. } = self;
        let name = self.contract.name.value();
        let about = format!("Serves `{name}` from a node, with an implementation of [`{service}`].");
        let new = format!(
            "A server whose state `factory` makes: once when it starts and once after each restart.",
        );
        quote_spanned! {Span::mixed_site()=>
            #[doc = #about]
            #[derive(::core::fmt::Debug)]
            #visibility struct #server;

            impl #server {
                #[doc = #new]
                #[must_use]
                #[allow(clippy::new_ret_no_self, reason = "what a node serves is generic over the implementation")]
                #visibility fn new<#implementation: #service>(
                    factory: impl ::core::ops::Fn() -> #implementation
                        + ::core::marker::Send
                        + ::core::marker::Sync
                        + 'static,
                ) -> #private::Server<#contract_type, #implementation> {
                    #private::Server::new(factory)
                }
            }
        }
    }
}
