//! The server: what a node is given to serve.

use proc_macro2::TokenStream;

use super::Expansion;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub struct ChatServer;` and its `new`.
    pub(super) fn declare_server(&self) -> TokenStream {
        let Self { private, visibility, service, contract_type, server, implementation, .. } = self;
        let name = self.contract.name.value();
        let about = format!("Serves `{name}` from a node, with an implementation of [`{service}`].");
        let new = "A server whose state `factory` makes: when it starts, and anew after each panic.";
        generate! {
            #[doc = #about]
            #[derive(::core::fmt::Debug)]
            #[non_exhaustive]
            #visibility struct #server;

            impl #server {
                #[doc = #new]
                #[must_use]
                #[allow(
                    clippy::new_ret_no_self,
                    clippy::impl_trait_in_params,
                    reason = "what a node serves is generic over the implementation"
                )]
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
