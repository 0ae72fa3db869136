//! How a service runs a call: `&self` methods beside others, every method alone.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use super::{Expansion, own};
use crate::contract::{Method, Output};

// === impl Expansion ===

impl Expansion<'_> {
    /// `impl<S: Chat> Serve<S> for ChatContract { … }`
    pub(super) fn implement_serve(&self) -> TokenStream {
        let Self { private, service, call, contract_type, implementation, .. } = self;
        let methods = &self.contract.methods;
        let shared = methods.iter().filter(|method| !method.exclusive).map(|method| self.run(method));
        let all = methods.iter().map(|method| self.run(method));
        let misrouted = self.misrouted();
        quote_spanned! {Span::mixed_site()=>
            #[automatically_derived]
            #[allow(deprecated, unused_variables, reason = "a deprecated method is still served")]
            impl<#implementation: #service> #private::Serve<#implementation> for #contract_type {
                async fn shared(service: &#implementation, cx: &#private::Context, call: #call) {
                    match call {
                        #(#shared)*
                        #misrouted
                    }
                }

                async fn exclusive(service: &mut #implementation, cx: &#private::Context, call: #call) {
                    match call {
                        #(#all)*
                    }
                }
            }
        }
    }

    /// `ChatCall::History(arguments, reply) => reply.fulfil(…).await,`
    ///
    /// Arguments are read as fields and never bound, so that a parameter may have any name.
    fn run(&self, method: &Method) -> TokenStream {
        let Self { call, service, implementation, .. } = self;
        let (variant, name) = (&method.variant, own(&method.signature.ident));
        let cx = method.context.then(|| quote_spanned!(Span::mixed_site()=> cx,));
        let fields = method.parameters.iter().map(|parameter| own(&parameter.ident));
        let handler = quote_spanned! {Span::mixed_site()=>
            <#implementation as #service>::#name(service, #cx #(arguments.#fields),*)
        };
        let answer = match &method.output {
            Output::Fallible { .. } => handler,
            Output::Plain(_) => quote_spanned! {Span::mixed_site()=>
                async move { ::core::result::Result::Ok(#handler.await) }
            },
        };
        let arguments = if method.parameters.is_empty() {
            quote!(_)
        } else {
            quote_spanned!(Span::mixed_site()=> arguments)
        };
        quote_spanned! {Span::mixed_site()=>
            #call::#variant(#arguments, reply) => reply.fulfil(#answer).await,
        }
    }

    /// The arm for calls that must run alone and were routed as if they need not.
    fn misrouted(&self) -> Option<TokenStream> {
        let Self { private, call, .. } = self;
        let exclusive: Vec<_> = self
            .contract
            .methods
            .iter()
            .filter(|method| method.exclusive)
            .map(|method| &method.variant)
            .collect();
        (!exclusive.is_empty()).then(|| {
            quote_spanned! {Span::mixed_site()=>
                #(#call::#exclusive(..))|* => #private::misrouted(<Self as #private::Contract>::NAME),
            }
        })
    }
}
