//! The enum of typed calls, which local and remote dispatch share.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::Expansion;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub enum ChatCall { History(ChatHistoryArguments, Reply<Vec<Line>, ChatError>), … }`
    pub(super) fn declare_call(&self) -> TokenStream {
        let Self { visibility, call, .. } = self;
        let methods = &self.contract.methods;
        let variants: Vec<_> = methods.iter().map(|method| &method.variant).collect();
        let names = variants.iter().map(ToString::to_string);
        let arguments = methods.iter().map(|method| &method.arguments);
        let replies = methods.iter().map(|method| self.reply(method));
        let text = call.to_string();
        let this = if variants.is_empty() {
            quote_spanned!(Span::mixed_site()=> *self)
        } else {
            quote_spanned!(Span::mixed_site()=> self)
        };
        quote_spanned! {Span::mixed_site()=>
            #[doc(hidden)]
            #visibility enum #call {
                #(#variants(#arguments, #replies),)*
            }

            #[automatically_derived]
            impl ::core::fmt::Debug for #call {
                fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    formatter.write_str(::core::concat!(#text, "::"))?;
                    formatter.write_str(match #this {
                        #(Self::#variants(..) => #names,)*
                    })
                }
            }
        }
    }
}
