//! The client: one method for each method of the contract, each returning a call that has not been made yet.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::Attribute;

use super::{Expansion, own};
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
        quote_spanned! {Span::mixed_site()=>
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
            }

            impl #client {
                #(#methods)*
            }
        }
    }

    /// `pub fn history(&self, room: impl Into<String>, limit: u32) -> Call<…> { … }`
    fn client_method(&self, number: usize, method: &Method) -> TokenStream {
        let Self { private, visibility, call, contract_type, .. } = self;
        let (ident, arguments, variant) = (own(&method.signature.ident), &method.arguments, &method.variant);
        let attributes = method.attributes.iter().filter(|each| describes(each));
        let note = self.note(method);
        let number = Literal::usize_unsuffixed(number);
        let parameters = method.parameters.iter().map(take);
        let fields = method.parameters.iter().map(fill);
        let (verb, returned) = match &method.output {
            _ if method.one_way => {
                ("send", quote_spanned!(Span::mixed_site()=> #private::OneWay<#contract_type, #arguments>))
            }
            output => {
                let shape = self.shape(output);
                (
                    "call",
                    quote_spanned!(Span::mixed_site()=> #private::Call<#contract_type, #arguments, #shape>),
                )
            }
        };
        let verb = proc_macro2::Ident::new(verb, Span::mixed_site());
        quote_spanned! {Span::mixed_site()=>
            #(#attributes)*
            #(#[doc = #note])*
            #visibility fn #ident(&self #(, #parameters)*) -> #returned {
                self.client.#verb(#number, #arguments { #(#fields),* }, #call::#variant)
            }
        }
    }

    /// `Fallible<Vec<Line>, ChatError>` or `Plain<u64>`: what awaiting the call gives.
    fn shape(&self, output: &Output) -> TokenStream {
        let Self { private, .. } = self;
        match output {
            Output::Plain(value) => quote_spanned!(Span::mixed_site()=> #private::Plain<#value>),
            Output::Fallible { value, error } => {
                quote_spanned!(Span::mixed_site()=> #private::Fallible<#value, #error>)
            }
        }
    }

    /// The lines of documentation that follow the user's.
    fn note(&self, method: &Method) -> Vec<String> {
        let service = self.service.to_string();
        let link = format!("[`{service}::{}`]", method.name);
        let wire = format!("`{}/{}`", self.contract.name.value(), method.name);
        let result = match &method.output {
            _ if method.one_way => format!(
                "Sends {wire}, which runs {link}. Awaiting it hands the message over: \
                 there is no answer, and nothing tells whether the service has run it."
            ),
            Output::Plain(value) => format!(
                "Calls {wire}, which runs {link}. Awaiting it gives `{}`, or the `Failure` of the call: \
                 its outcome says whether the method may have run.",
                readable(value)
            ),
            Output::Fallible { value, error } => format!(
                "Calls {wire}, which runs {link}. Awaiting it gives `{}`; or `CallError::Service` with the service's \
                 `{}`; or `CallError::Failed` with the failure of the call, whose outcome says whether the method \
                 may have run.",
                readable(value),
                readable(error)
            ),
        };
        let separator = method.attributes.iter().any(|each| each.path().is_ident("doc")).then(String::new);
        let repeat = method.idempotent.then(|| {
            [
                String::new(),
                "It is idempotent: a call whose outcome is unknown is made again within its budget."
                    .to_owned(),
            ]
        });
        separator
            .into_iter()
            .chain([format!(" {result}")])
            .chain(
                repeat
                    .into_iter()
                    .flatten()
                    .map(|line| if line.is_empty() { line } else { format!(" {line}") }),
            )
            .collect()
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
        quote_spanned!(Span::mixed_site()=> #ident: impl ::core::convert::Into<#ty>)
    } else {
        quote_spanned!(Span::mixed_site()=> #ident: #ty)
    }
}

/// `room: room.into()`
fn fill(parameter: &Parameter) -> TokenStream {
    let ident = own(&parameter.ident);
    if parameter.is_string() {
        quote_spanned!(Span::mixed_site()=> #ident: ::core::convert::Into::into(#ident))
    } else {
        ident.into_token_stream()
    }
}

/// A type for people: with a space after each comma.
fn readable(ty: &syn::Type) -> String {
    signature::of(ty).replace(',', ", ")
}
