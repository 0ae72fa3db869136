//! The structs in which arguments travel: a map by parameter name.

use proc_macro2::TokenStream;

use super::{Expansion, own};
use crate::contract::Method;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub struct ChatHistoryArguments { room: String, limit: u32 }`
    pub(super) fn declare_arguments(&self, method: &Method) -> TokenStream {
        let Self { private, visibility, .. } = self;
        let ident = &method.arguments;
        let text = ident.to_string();
        let serde = self.serde_path();
        let names = method.parameters.iter().map(|parameter| own(&parameter.ident));
        let types = method.parameters.iter().map(|parameter| &parameter.ty);
        generate! {
            #[doc(hidden)]
            #[derive(#private::serde::Serialize, #private::serde::Deserialize)]
            #[serde(crate = #serde)]
            #visibility struct #ident {
                #(#names: #types,)*
            }

            // Values stay out: arguments are a payload and may hold a secret.
            #[automatically_derived]
            impl ::core::fmt::Debug for #ident {
                fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    formatter.debug_struct(#text).finish_non_exhaustive()
                }
            }
        }
    }
}
