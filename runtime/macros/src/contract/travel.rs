//! Which types travel: a value that leaves a node owns what it holds and has one form on the wire.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Expr, Lifetime, Path, PathArguments, Type, TypePath, TypeReference};

use crate::problems::Problems;
use crate::signature;

/// Where a type stands, for the words of a complaint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The type of a parameter.
    Parameter,
    /// The type that a method returns.
    Return,
}

/// Reports everything in a type that cannot travel, however deep it stands.
pub(crate) fn check(ty: &Type, place: Place, problems: &mut Problems) {
    Traveller { place, problems }.visit_type(ty);
}

struct Traveller<'a> {
    place: Place,
    problems: &'a mut Problems,
}

// === impl Place ===

impl Place {
    fn verb(self) -> &'static str {
        match self {
            Self::Parameter => "take",
            Self::Return => "return",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Parameter => "arguments travel",
            Self::Return => "answers travel",
        }
    }
}

// === impl Traveller ===

impl<'ast> Visit<'ast> for Traveller<'_> {
    fn visit_type(&mut self, ty: &'ast Type) {
        match ty {
            Type::Reference(reference) => self.refuse_reference(reference),
            Type::Slice(slice) => {
                self.borrowed(ty, "a slice", &format!("Vec<{}>", signature::of(&slice.elem)))
            }
            Type::Ptr(pointer) => self.borrowed(ty, "a pointer", &signature::of(&pointer.elem)),
            Type::ImplTrait(_) => self.formless(ty, "`impl Trait`", "a type that you name"),
            Type::TraitObject(_) => self.formless(ty, "a trait object", "an enum or a struct that you name"),
            Type::FnPtr(_) => self.formless(ty, "a function", "data that says what to do"),
            Type::Macro(_) => self.formless(ty, "a type made by a macro", "a type that you write out"),
            Type::Infer(_) => self.formless(ty, "a type that is left out", "a type that you write out"),
            Type::Never(_) => self.formless(ty, "the type without values", "`()`"),
            Type::Verbatim(_) => self.formless(ty, "this type", "a struct or an enum that you name"),
            other => visit::visit_type(self, other),
        }
    }

    fn visit_type_path(&mut self, ty: &'ast TypePath) {
        let path = &ty.path;
        if is_stream(path) {
            self.problems.at(
                ty,
                "a stream travels beside the data: take one parameter of type `Receiver<T>`, \
                 or return `Receiver<T>` or `Result<Receiver<T>, E>`",
            );
        } else if path.is_ident("str") {
            self.borrowed(ty, "`str`", "String");
        } else if is_service(path) {
            self.refuse_service(ty);
        } else {
            visit::visit_type_path(self, ty);
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        self.problems.at(
            lifetime,
            format!(
                "{}, so they borrow nothing: {} a type without lifetimes",
                self.place.noun(),
                self.place.verb()
            ),
        );
    }

    /// The length of an array is a constant, not a type.
    fn visit_expr(&mut self, _: &'ast Expr) {}
}

impl Traveller<'_> {
    fn refuse_reference(&mut self, reference: &TypeReference) {
        let written = signature::of(&Type::Reference(reference.clone()));
        let owned = match signature::peel(&reference.elem) {
            Type::Path(ty) if ty.path.is_ident("str") => "String".to_owned(),
            Type::Slice(slice) => format!("Vec<{}>", signature::of(&slice.elem)),
            Type::Path(ty) if is_service(&ty.path) => return self.refuse_service(reference),
            other => signature::of(other),
        };
        self.borrowed(reference, &format!("`{written}`"), &owned);
    }

    fn refuse_service(&mut self, tokens: impl ToTokens) {
        let verb = self.place.verb();
        self.problems
            .at(tokens, format!("`Self` is the service, which does not travel: {verb} a type that you name"));
    }

    /// Refuses what points at something that stays behind.
    fn borrowed(&mut self, tokens: impl ToTokens, written: &str, owned: &str) {
        let (noun, verb) = (self.place.noun(), self.place.verb());
        self.problems
            .at(tokens, format!("{noun}, so they own what they hold: {verb} `{owned}` instead of {written}"));
    }

    /// Refuses what cannot be written down as data.
    fn formless(&mut self, tokens: impl ToTokens, what: &str, instead: &str) {
        let verb = self.place.verb();
        self.problems.at(tokens, format!("{what} has no form on the wire: {verb} {instead}"));
    }
}

/// What a stream that travels is made of, if the type is `Receiver<T>`.
pub(crate) fn stream_item(ty: &Type) -> Option<&Type> {
    let Type::Path(ty) = signature::peel(ty) else { return None };
    let segment = ty.path.segments.last().filter(|segment| segment.ident == "Receiver")?;
    match signature::type_arguments(&segment.arguments).as_slice() {
        [item] => Some(*item),
        _ => None,
    }
}

/// Whether a path is one end of a stream, `Receiver<T>` or `Sender<T>`. Without `<T>` it is a type of the user's.
fn is_stream(path: &Path) -> bool {
    path.segments.last().is_some_and(|segment| {
        (segment.ident == "Receiver" || segment.ident == "Sender")
            && matches!(segment.arguments, PathArguments::AngleBracketed(_))
    })
}

/// Whether a path is `Self` or something of it.
fn is_service(path: &Path) -> bool {
    path.segments.first().is_some_and(|segment| segment.ident == "Self")
}
