//! The enum of typed calls, which local and remote dispatch share.

use proc_macro2::TokenStream;

use super::Expansion;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub enum ChatCall { History(ChatHistoryArguments, Reply<Vec<Line>, ChatError>), Nudge(ChatNudgeArguments), … }`
    pub(super) fn declare_call(&self) -> TokenStream {
        let Self { visibility, call, .. } = self;
        let methods = &self.contract.methods;
        let variants: Vec<_> = methods.iter().map(|method| &method.variant).collect();
        let names = variants.iter().map(|variant| format!("{call}::{variant}"));
        let arguments = methods.iter().map(|method| &method.arguments);
        let uploads = methods.iter().map(|method| {
            method.upload().map(|upload| {
                let stream = &upload.ty;
                generate!(, #stream)
            })
        });
        let replies = methods.iter().map(|method| {
            let reply = self.reply(method);
            (!method.one_way).then(|| generate!(, #reply))
        });
        // Without variants, which happens when all methods were refused, only the place itself can be matched.
        let place = if variants.is_empty() { generate!(*self) } else { generate!(self) };
        generate! {
            #[doc(hidden)]
            #[non_exhaustive]
            #visibility enum #call {
                #(#variants(#arguments #uploads #replies),)*
            }

            #[automatically_derived]
            impl ::core::fmt::Debug for #call {
                fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    match #place {
                        #(Self::#variants(..) => formatter.write_str(#names),)*
                    }
                }
            }
        }
    }
}
