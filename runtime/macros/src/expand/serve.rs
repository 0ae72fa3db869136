//! How a service runs a call: `&self` methods beside others, every method alone.

use proc_macro2::TokenStream;

use super::{Expansion, own};
use crate::contract::Method;

// === impl Expansion ===

impl Expansion<'_> {
    /// `impl<S: Chat> Serve<S> for ChatContract { … }`
    pub(super) fn implement_serve(&self) -> TokenStream {
        let Self { private, service, call, contract_type, implementation, .. } = self;
        let methods = &self.contract.methods;
        let shared = methods.iter().filter(|method| !method.exclusive).map(|method| self.run(method));
        let all = methods.iter().map(|method| self.run(method));
        let misrouted = self.misrouted();
        generate! {
            #[automatically_derived]
            #[allow(deprecated, reason = "a deprecated method is still served")]
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

    /// `ChatCall::History(arguments, reply) => { let reply = reply.begin(); reply.answer(….await); }`, or
    /// `ChatCall::Nudge(arguments) => ….await,`
    ///
    /// Arguments are read as fields and never bound, so that a parameter may have any name. They move from the call
    /// straight into the handler's future. The reply begins before the handler is called, so that whatever the
    /// handler does counts as begun, even before its first await.
    fn run(&self, method: &Method) -> TokenStream {
        let Self { call, service, implementation, .. } = self;
        let (variant, name) = (&method.variant, own(&method.signature.ident));
        let cx = method.context.then(|| generate!(cx,));
        let fields = method.parameters.iter().map(|parameter| {
            let field = own(&parameter.ident);
            if parameter.item.is_some() { generate!(upload) } else { generate!(arguments.#field) }
        });
        let handler = generate! {
            <#implementation as #service>::#name(service, #cx #(#fields),*)
        };
        let arguments = if method.values().next().is_none() { generate!(_) } else { generate!(arguments) };
        let upload = method.upload().map(|_| generate!(, upload));
        if method.one_way {
            return generate!(#call::#variant(#arguments) => #handler.await,);
        }
        let answer = if method.output.error.is_some() {
            generate!(#handler.await)
        } else {
            generate!(::core::result::Result::Ok(#handler.await))
        };
        generate! {
            #call::#variant(#arguments #upload, reply) => {
                let reply = reply.begin();
                reply.answer(#answer);
            }
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
            generate! {
                #(#call::#exclusive(..))|* => #private::misrouted(<Self as #private::Contract>::NAME),
            }
        })
    }
}
