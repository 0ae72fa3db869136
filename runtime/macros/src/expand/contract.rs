//! The contract as a type: its name, the table of its methods, and how a call is read from bytes or refused.

use proc_macro2::{Literal, TokenStream};

use super::Expansion;
use crate::contract::Method;
use crate::signature;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub struct ChatContract;` and its `Contract`.
    pub(super) fn declare_contract(&self) -> TokenStream {
        let Self { private, visibility, call, contract_type, service, .. } = self;
        let name = &self.contract.name;
        let methods = self.contract.methods.iter().map(|method| self.describe(method));
        let (decode, refuse) = (self.decode(), self.refuse());
        let doc = format!("The contract [`{service}`] as a type: its name and the table of its methods.");
        generate! {
            #[doc = #doc]
            #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::marker::Copy)]
            #[non_exhaustive]
            #visibility struct #contract_type;

            #[automatically_derived]
            impl #private::Contract for #contract_type {
                const NAME: &'static str = #name;
                const METHODS: &'static [#private::Method] = &[#(#methods),*];
                type Call = #call;

                #decode

                #refuse
            }
        }
    }

    /// `Method { name: "history", … }`
    fn describe(&self, method: &Method) -> TokenStream {
        let Self { private, .. } = self;
        let Method { name, idempotent, one_way, exclusive, .. } = method;
        let (upload, download) = (method.upload().is_some(), method.output.item.is_some());
        let output = signature::of_return(&method.signature.output);
        let names = method.parameters.iter().map(|parameter| &parameter.name);
        let types = method.parameters.iter().map(|parameter| signature::of(&parameter.ty));
        generate! {
            #private::Method {
                name: #name,
                parameters: &[#(#private::Parameter { name: #names, ty: #types }),*],
                output: #output,
                idempotent: #idempotent,
                one_way: #one_way,
                upload: #upload,
                download: #download,
                exclusive: #exclusive,
            }
        }
    }

    /// `fn decode(method: usize, …)`, `decode_one_way` and `decode_stream`, one arm for each method's number.
    fn decode(&self) -> TokenStream {
        let Self { private, .. } = self;
        let arms = |streaming: bool, one_way: bool| {
            let methods = self.contract.methods.iter().enumerate();
            let is_one =
                move |method: &Method| method.is_streaming() == streaming && method.one_way == one_way;
            let arms = methods.filter(move |(_, method)| is_one(method));
            arms.map(|(number, method)| self.decode_method(number, method))
        };
        let (answering, one_way, streaming) = (arms(false, false), arms(false, true), arms(true, false));
        generate! {
            fn decode(
                method: usize,
                codec: #private::Codec,
                arguments: &[u8],
                responder: impl ::core::ops::FnOnce() -> #private::Responder,
            ) -> ::core::result::Result<Self::Call, #private::BadArguments> {
                match method {
                    #(#answering)*
                    _ => ::core::result::Result::Err(#private::BadArguments::no_answer(method)),
                }
            }

            fn decode_one_way(
                method: usize,
                codec: #private::Codec,
                arguments: &[u8],
            ) -> ::core::result::Result<Self::Call, #private::BadArguments> {
                match method {
                    #(#one_way)*
                    _ => ::core::result::Result::Err(#private::BadArguments::not_one_way(method)),
                }
            }

            fn decode_stream(
                method: usize,
                codec: #private::Codec,
                arguments: &[u8],
                ports: &mut #private::Ports,
            ) -> ::core::result::Result<Self::Call, #private::BadArguments> {
                match method {
                    #(#streaming)*
                    _ => ::core::result::Result::Err(#private::BadArguments::no_streams(method)),
                }
            }
        }
    }

    fn decode_method(&self, number: usize, method: &Method) -> TokenStream {
        let Self { private, call, .. } = self;
        let variant = &method.variant;
        let number = Literal::usize_unsuffixed(number);
        let upload = method.upload().map(|_| generate!(, ports.receiver()));
        let reply = match method {
            _ if method.is_streaming() => Some(generate!(, ports.reply())),
            Method { one_way: true, .. } => None,
            _ => Some(generate!(, #private::Reply::wire(responder(), codec))),
        };
        generate! {
            #number => {
                let arguments = codec.arguments(arguments)?;
                ::core::result::Result::Ok(#call::#variant(arguments #upload #reply))
            }
        }
    }

    /// `fn refuse(call: ChatCall, failure: Failure)`: answers a call that will not run.
    fn refuse(&self) -> TokenStream {
        let Self { private, call, .. } = self;
        let arms = self.contract.methods.iter().map(|method| {
            let variant = &method.variant;
            let upload = method.upload().map(|_| generate!(, _));
            if method.one_way {
                generate!(#call::#variant(_) => {})
            } else {
                generate!(#call::#variant(_ #upload, reply) => reply.refuse(failure),)
            }
        });
        generate! {
            fn refuse(call: Self::Call, failure: #private::Failure) {
                match call {
                    #(#arms)*
                }
            }
        }
    }
}
