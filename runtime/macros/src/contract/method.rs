//! One method of a contract.

use heck::ToUpperCamelCase as _;
use quote::format_ident;
use syn::ext::IdentExt as _;
use syn::token::Semi;
use syn::{Attribute, FnArg, Generics, Ident, Receiver, ReceiverKind, Safety, Signature, TraitItemFn};

use super::attributes::Marks;
use super::parameter::{Parameter, Parameters};
use super::{Output, parameter};
use crate::problems::Problems;

/// The names of methods that belong to the client itself.
const RESERVED: [&str; 2] = ["local", "pinned"];

/// A method that travels: what a caller sends, what a service runs, what comes back.
#[derive(Debug)]
pub(crate) struct Method {
    /// The user's attributes without the marks.
    pub(crate) attributes: Vec<Attribute>,
    /// The signature as the user wrote it.
    pub(crate) signature: Signature,
    /// Its semicolon.
    pub(crate) semi: Semi,
    /// The name on the wire.
    pub(crate) name: String,
    /// The variant of the enum of calls.
    pub(crate) variant: Ident,
    /// The struct of the arguments.
    pub(crate) arguments: Ident,
    /// What travels to the service.
    pub(crate) parameters: Vec<Parameter>,
    /// Whether the handler borrows the call's context.
    pub(crate) context: bool,
    /// What travels back.
    pub(crate) output: Output,
    /// Whether the handler runs alone (`&mut self`).
    pub(crate) exclusive: bool,
    /// Whether a call whose outcome is unknown may be made again.
    pub(crate) idempotent: bool,
    /// Whether the caller waits for no answer.
    pub(crate) one_way: bool,
}

// === impl Method ===

impl Method {
    /// Reads a method; `None` if nothing sensible is left of it, which is then reported.
    pub(crate) fn parse(function: TraitItemFn, service: &Ident, problems: &mut Problems) -> Option<Self> {
        let marks = Marks::parse(function.attrs, problems);
        let signature = function.sig;
        if let Some(body) = &function.default {
            problems.at(
                body,
                "a method of a contract has no default body: a caller cannot know whether a service replaced it; \
                 end the method with `;`",
            );
        }
        check_qualifiers(&signature, problems);
        check_generics(&signature.generics, problems);
        let name = signature.ident.unraw().to_string();
        let variant = check_name(&signature.ident, &name, problems);
        let exclusive = check_receiver(&signature, problems);
        let Parameters { context, travelling } = Parameters::parse(&signature, problems);
        let output = Output::parse(&signature.output, marks.one_way.is_some(), problems);
        let upload = travelling.iter().find(|parameter| parameter.item.is_some());
        check_marks(&marks, upload, output.as_ref(), problems);
        let variant = variant?;
        Some(Self {
            attributes: marks.rest,
            arguments: format_ident!("{}{}Arguments", service, variant),
            name,
            variant,
            parameters: travelling,
            context,
            output: output?,
            exclusive: exclusive?,
            idempotent: marks.idempotent.is_some(),
            one_way: marks.one_way.is_some(),
            semi: function.semi_token.unwrap_or_default(),
            signature,
        })
    }

    /// The parameters whose values travel together, ahead of all streams.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|parameter| parameter.item.is_none())
    }

    /// The stream that the caller sends.
    pub(crate) fn upload(&self) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.item.is_some())
    }

    /// Whether it takes or returns a stream.
    pub(crate) fn is_streaming(&self) -> bool {
        self.upload().is_some() || self.output.item.is_some()
    }

    /// The method as the user wrote it, without the marks.
    pub(crate) fn into_source(self) -> TraitItemFn {
        TraitItemFn {
            attrs: self.attributes,
            modifiers: syn::FnModifiers::default(),
            sig: self.signature,
            default: None,
            semi_token: Some(self.semi),
        }
    }
}

/// A call with streams is neither sent one way nor repeated.
fn check_marks(marks: &Marks, upload: Option<&Parameter>, output: Option<&Output>, problems: &mut Problems) {
    if let (Some(mark), Some(_)) = (&marks.one_way, upload) {
        problems.at(
            mark,
            "a one-way method takes no stream, as nobody would learn that it broke: remove `#[oneway]`",
        );
    }
    let streams = upload.is_some() || output.is_some_and(|output| output.item.is_some());
    if let (Some(mark), true) = (&marks.idempotent, streams) {
        problems
            .at(mark, "a call with streams is not repeated, as its items are gone: remove `#[idempotent]`");
    }
}

/// The name of a method's variant.
pub(crate) fn variant_name(method: &str) -> String {
    method.to_upper_camel_case()
}

fn check_qualifiers(signature: &Signature, problems: &mut Problems) {
    if let Some(constness) = &signature.constness {
        problems.at(constness, "a method of a contract cannot be const: it runs elsewhere; remove `const`");
    }
    if let Safety::Unsafe(_) | Safety::Safe(_) = &signature.safety {
        problems.at(
            &signature.safety,
            "a method of a contract cannot be unsafe: a remote caller can promise nothing; remove the qualifier",
        );
    }
    if let Some(abi) = &signature.abi {
        problems.at(abi, "a method of a contract has no ABI: it is called over the mesh; remove `extern`");
    }
    if let Some(variadic) = &signature.variadic {
        problems.at(
            variadic,
            "a method of a contract takes a fixed list of parameters: remove `...` or take a `Vec`",
        );
    }
    if signature.asyncness.is_none() {
        let name = &signature.ident;
        problems.at(
            signature.fn_token,
            format!(
                "a method of a contract is async, as its answer comes from elsewhere: write `async fn {name}`"
            ),
        );
    }
}

fn check_generics(generics: &Generics, problems: &mut Problems) {
    if generics.params.iter().any(|parameter| !matches!(parameter, syn::GenericParam::Lifetime(_))) {
        problems.at(
            generics,
            "a method of a contract cannot be generic: it has one form on the wire; write the types out",
        );
    } else if !generics.params.is_empty() {
        problems.at(
            generics,
            "a method of a contract has no lifetimes: arguments and answers travel, so they own what they hold; \
             take and return owned types",
        );
    }
    if let Some(clause) = &generics.where_clause {
        problems.at(
            clause,
            "a method of a contract has no where clause: its types are known; \
             write bounds of the service as supertraits of the contract",
        );
    }
}

/// The method's variant, if its name makes one.
fn check_name(ident: &Ident, name: &str, problems: &mut Problems) -> Option<Ident> {
    if RESERVED.contains(&name) {
        problems.at(
            ident,
            format!("the name `{name}` is reserved for the client itself: give this method another name"),
        );
    }
    let mut variant = syn::parse_str::<Ident>(&variant_name(name)).ok();
    match &mut variant {
        Some(variant) => variant.set_span(ident.span()),
        None => problems.at(
            ident,
            format!(
                "the name `{name}` has no form in CamelCase, which the enum of calls needs: \
                 begin it with a letter and a word of its own"
            ),
        ),
    }
    variant
}

/// Whether the method runs alone; `None` if it has no receiver that says so.
fn check_receiver(signature: &Signature, problems: &mut Problems) -> Option<bool> {
    const CHOICE: &str = "write `&self`, which runs beside other calls, or `&mut self`, which runs alone";
    let Some(FnArg::Receiver(receiver)) = signature.inputs.first() else {
        problems.at(&signature.ident, format!("a method of a contract is called on the service: {CHOICE}"));
        return None;
    };
    parameter::refuse_attributes(&receiver.attrs, problems);
    let Receiver { kind: ReceiverKind::Reference(_, lifetime, mutability), .. } = receiver else {
        problems
            .at(receiver, format!("a call cannot consume the service or change how it is held: {CHOICE}"));
        return None;
    };
    if let Some(lifetime) = lifetime {
        problems.at(lifetime, format!("a receiver of a contract has no lifetime: {CHOICE}"));
    }
    Some(mutability.is_some())
}
