//! The client: one method for each method of the contract, each returning a call that has not been made yet.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::Attribute;
use syn::spanned::Spanned as _;

use super::{Expansion, located, own, own_span, shape};
use crate::contract::{Method, Output, Parameter};
use crate::signature;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub struct ChatClient { … }` and its methods.
    pub(super) fn declare_client(&self) -> TokenStream {
        let Self { private, visibility, service, contract_type, client, .. } = self;
        let name = self.contract.name.value();
        let about = format!(
            "Calls `{name}`, a service with the contract [`{service}`], wherever it runs.\n\n\
             A client is cheap to make and to clone. Each method returns a call, which is made when it is awaited."
        );
        let methods = self
            .contract
            .methods
            .iter()
            .enumerate()
            .map(|(number, method)| self.client_method(number, method));
        generate! {
            #[doc = #about]
            #[derive(::core::clone::Clone, ::core::fmt::Debug)]
            #visibility struct #client {
                client: #private::Client<#contract_type>,
            }

            #[automatically_derived]
            impl #private::ServiceClient for #client {
                type Contract = #contract_type;

                fn from_client(client: #private::Client<#contract_type>) -> Self {
                    Self { client }
                }

                fn as_client(&self) -> &#private::Client<#contract_type> {
                    &self.client
                }
            }

            #[allow(
                clippy::too_many_arguments,
                clippy::impl_trait_in_params,
                reason = "the signatures are those of the contract"
            )]
            impl #client {
                #(#methods)*
            }
        }
    }

    /// `pub fn history(&self, room: impl Into<String>, limit: u32) -> Call<…> { … }`
    fn client_method(&self, number: usize, method: &Method) -> TokenStream {
        let Self { visibility, call, .. } = self;
        let (ident, arguments, variant) = (own(&method.signature.ident), &method.arguments, &method.variant);
        let attributes = method.attributes.iter().filter(|each| describes(each));
        let note = self.note(method);
        let number = Literal::usize_unsuffixed(number);
        let parameters = method.parameters.iter().map(take);
        let fields = method.values().map(fill);
        let returned = self.returned(method);
        let place = own_span(method.output.value.span());
        let verb = Ident::new(if method.one_way { "send" } else { "call" }, place);
        let body = if method.is_streaming() {
            let upload = method.upload().map(|upload| own(&upload.ident).into_token_stream());
            let make = match upload {
                Some(_) => quote_spanned!(place=> #call::#variant),
                None => quote_spanned!(place=> |arguments, (), reply| #call::#variant(arguments, reply)),
            };
            let upload = upload.unwrap_or_else(|| generate!(()));
            quote_spanned! {place=>
                self.client.call_with_streams(#number, #arguments { #(#fields),* }, #upload, #make)
            }
        } else {
            quote_spanned! {place=>
                self.client.#verb(#number, #arguments { #(#fields),* }, #call::#variant)
            }
        };
        generate! {
            #(#attributes)*
            #(#[doc = #note])*
            #visibility fn #ident(&self #(, #parameters)*) -> #returned {
                #body
            }
        }
    }

    /// `Call<ChatContract, ChatHistoryArguments, Fallible<Vec<Line>, ChatError>>`
    ///
    /// It stands where the user wrote the type that is returned, so that what that type lacks is reported there.
    fn returned(&self, method: &Method) -> TokenStream {
        let Self { private, contract_type, .. } = self;
        let Method { arguments, output, .. } = method;
        if method.one_way {
            return generate!(#private::OneWay<#contract_type, #arguments>);
        }
        let place = own_span(output.value.span());
        let shape = shape(output, private);
        let private = located(private, place);
        if method.is_streaming() {
            let upload = method.upload().map_or_else(|| generate!(()), |upload| upload.ty.to_token_stream());
            return quote_spanned!(place=> #private::StreamCall<#contract_type, #arguments, #upload, #shape>);
        }
        quote_spanned!(place=> #private::Call<#contract_type, #arguments, #shape>)
    }

    /// The lines of documentation that follow the user's.
    fn note(&self, method: &Method) -> Vec<String> {
        let link = format!("[`{}::{}`]", self.service, method.name);
        let wire = format!("`{}/{}`", self.contract.name.value(), method.name);
        let mut paragraphs = Vec::new();
        if method.attributes.iter().any(|each| each.path().is_ident("doc")) {
            paragraphs.push(String::new());
        }
        let Output { value, error, .. } = &method.output;
        let value = readable(value);
        paragraphs.push(match error {
            _ if method.one_way => format!(
                " Sends {wire}, which runs {link}. Awaiting it waits for a place in the \
                 service's queue: there is no answer, and nothing tells whether the service has run it."
            ),
            Some(error) => format!(
                " Calls {wire}, which runs {link}. Awaiting it gives `{value}`, or `CallError::Service` with the \
                 service's `{}`, or `CallError::Failed` with the failure of the call, whose outcome says whether \
                 the method may have run.",
                readable(error)
            ),
            None => format!(
                " Calls {wire}, which runs {link}. Awaiting it gives `{value}`, or the `Failure` of the call, \
                 whose outcome says whether the method may have run."
            ),
        });
        if method.idempotent {
            let repeat = " It is idempotent: a call to another node whose outcome is unknown is made again, within its budget.";
            paragraphs.extend([String::new(), repeat.to_owned()]);
        }
        paragraphs
    }
}

/// Whether an attribute of a method says something to callers too.
fn describes(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc") || attribute.path().is_ident("deprecated")
}

/// `room: impl Into<String>`
fn take(parameter: &Parameter) -> TokenStream {
    let (ident, ty) = (own(&parameter.ident), &parameter.ty);
    if parameter.is_string() {
        generate!(#ident: impl ::core::convert::Into<#ty>)
    } else {
        generate!(#ident: #ty)
    }
}

/// `room: room.into()`
fn fill(parameter: &Parameter) -> TokenStream {
    let ident = own(&parameter.ident);
    if parameter.is_string() {
        generate!(#ident: ::core::convert::Into::into(#ident))
    } else {
        ident.into_token_stream()
    }
}

/// A type for people: with a space after each comma.
fn readable(ty: &syn::Type) -> String {
    signature::of(ty).replace(',', ", ")
}
