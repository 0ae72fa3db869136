//! The contract as a type: its name, the table of its methods, and how the bytes of a call become typed.

use proc_macro2::{Literal, Span, TokenStream};
use quote::quote_spanned;

use super::{Expansion, own_span};
use crate::contract::{Method, Output};
use crate::signature;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub struct ChatContract;` and its `Contract`.
    pub(super) fn declare_contract(&self) -> TokenStream {
        let Self { private, visibility, call, contract_type, service, .. } = self;
        let name = &self.contract.name;
        let methods = self.contract.methods.iter().map(|method| self.describe(method));
        let decode = self.decode();
        let doc = format!("The contract [`{service}`] as a type: its name and the table of its methods.");
        quote_spanned! {Span::mixed_site()=>
            #[doc = #doc]
            #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::marker::Copy)]
            #visibility struct #contract_type;

            #[automatically_derived]
            impl #private::Contract for #contract_type {
                const NAME: &'static str = #name;
                const METHODS: &'static [#private::Method] = &[#(#methods),*];
                type Call = #call;

                #decode
            }
        }
    }

    /// `Method { name: "history", … }`
    fn describe(&self, method: &Method) -> TokenStream {
        let Self { private, .. } = self;
        let Method { name, idempotent, one_way, exclusive, .. } = method;
        let output = signature::of_return(&method.signature.output);
        let names = method.parameters.iter().map(|parameter| &parameter.name);
        let types = method.parameters.iter().map(|parameter| signature::of(&parameter.ty));
        quote_spanned! {Span::mixed_site()=>
            #private::Method {
                name: #name,
                parameters: &[#(#private::Parameter { name: #names, ty: #types }),*],
                output: #output,
                idempotent: #idempotent,
                one_way: #one_way,
                exclusive: #exclusive,
            }
        }
    }

    /// `fn decode(method: usize, …)`, one arm for each method's number.
    fn decode(&self) -> TokenStream {
        let Self { private, .. } = self;
        let arms = self
            .contract
            .methods
            .iter()
            .enumerate()
            .map(|(number, method)| self.decode_method(number, method));
        quote_spanned! {Span::mixed_site()=>
            fn decode(
                method: usize,
                codec: #private::Codec,
                arguments: &[u8],
                responder: impl ::core::ops::FnOnce() -> #private::Responder,
            ) -> ::core::result::Result<Self::Call, #private::BadArguments> {
                match method {
                    #(#arms)*
                    _ => ::core::result::Result::Err(#private::BadArguments::no_method(method)),
                }
            }
        }
    }

    fn decode_method(&self, number: usize, method: &Method) -> TokenStream {
        let Self { private, call, .. } = self;
        let variant = &method.variant;
        let number = Literal::usize_unsuffixed(number);
        // What a type lacks to travel back is reported under that type.
        let reply = quote_spanned!(output_span(method)=> #private::Reply::wire(responder(), codec));
        quote_spanned! {Span::mixed_site()=>
            #number => {
                let arguments = codec.arguments(arguments)?;
                ::core::result::Result::Ok(#call::#variant(arguments, #reply))
            }
        }
    }
}

fn output_span(method: &Method) -> Span {
    use syn::spanned::Spanned as _;
    own_span(match &method.output {
        Output::Plain(value) => value.span(),
        Output::Fallible { value, .. } => value.span(),
    })
}
