//! The structs in which arguments travel.
//!
//! Both sides have agreed on a method's parameters, by name and type and in order, before a call is made. So a codec
//! for machines carries the values alone, and a codec for people an object by parameter name.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::spanned::Spanned as _;

use super::{Expansion, own, own_span};
use crate::contract::Method;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub struct ChatHistoryArguments { room: String, limit: u32 }`
    pub(super) fn declare_arguments(&self, method: &Method) -> TokenStream {
        let Self { private, visibility, .. } = self;
        let ident = &method.arguments;
        let text = ident.to_string();
        let serde = self.serde_path();
        let names = method.values().map(|parameter| own(&parameter.ident));
        let types = method.values().map(|parameter| &parameter.ty);
        let serialise = self.serialise(method);
        generate! {
            #[doc(hidden)]
            #[derive(#private::serde::Deserialize)]
            #[serde(crate = #serde, deny_unknown_fields)]
            #visibility struct #ident {
                #(#names: #types,)*
            }

            #serialise

            // Values stay out: arguments are a payload and may hold a secret.
            #[automatically_derived]
            impl ::core::fmt::Debug for #ident {
                fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    formatter.debug_struct(#text).finish_non_exhaustive()
                }
            }
        }
    }
    /// `impl Serialize for ChatHistoryArguments`: a derived one would send the names with every call.
    fn serialise(&self, method: &Method) -> TokenStream {
        let Self { private, .. } = self;
        let ident = &method.arguments;
        let (text, count) = (ident.to_string(), method.values().count());
        let mutable = (count > 0).then(|| generate!(mut));
        // Complaints about a type belong under the type.
        let named = method.values().map(|parameter| {
            let (name, field) = (&parameter.name, own(&parameter.ident));
            quote_spanned! { own_span(parameter.ty.span())=>
                #private::serde::ser::SerializeStruct::serialize_field(&mut arguments, #name, &self.#field)?;
            }
        });
        let values = method.values().map(|parameter| {
            let field = own(&parameter.ident);
            quote_spanned! { own_span(parameter.ty.span())=>
                #private::serde::ser::SerializeTupleStruct::serialize_field(&mut arguments, &self.#field)?;
            }
        });
        generate! {
            #[automatically_derived]
            impl #private::serde::Serialize for #ident {
                fn serialize<S: #private::serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> ::core::result::Result<S::Ok, S::Error> {
                    if serializer.is_human_readable() {
                        let #mutable arguments = serializer.serialize_struct(#text, #count)?;
                        #(#named)*
                        #private::serde::ser::SerializeStruct::end(arguments)
                    } else {
                        let #mutable arguments = serializer.serialize_tuple_struct(#text, #count)?;
                        #(#values)*
                        #private::serde::ser::SerializeTupleStruct::end(arguments)
                    }
                }
            }
        }
    }
}
