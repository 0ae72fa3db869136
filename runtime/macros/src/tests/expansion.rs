//! What a contract becomes, as text that a person can review.

use std::{env, fs, path::Path};

use super::expand;

const CHAT: &str = r#"
    /// Rooms full of people.
    pub trait Chat {
        /// The latest lines of a room.
        #[idempotent]
        async fn history(&self, room: String, limit: u32) -> Result<Vec<Line>, ChatError>;
        /// Renames a room.
        async fn rename(&mut self, cx: &Context, room: std::string::String) -> u64;
        #[oneway]
        async fn nudge(&mut self, who: String);
        async fn r#match(&self, r#type: Option<chat::Kind>) -> ();
        async fn join(&mut self, room: String, said: Receiver<String>) -> Result<Receiver<Line>, ChatError>;
        async fn watch(&self) -> Receiver<Line>;
    }
"#;

/// Compares with `tests/<name>`, or writes it when the variable `TRYBUILD` says `overwrite`, as for compile failures.
#[track_caller]
fn golden(name: &str, expansion: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests").join(name);
    if env::var("TRYBUILD").as_deref() == Ok("overwrite") {
        fs::write(&path, expansion).expect("the golden file can be written");
    }
    let golden = fs::read_to_string(&path).expect("the golden file exists");
    assert_eq!(expansion, golden, "run the test with TRYBUILD=overwrite if the change is meant");
}

#[test]
fn a_contract_expands_to_its_golden_file() {
    golden("chat.expanded", &expand(r#"name = "chat.Chat""#, CHAT));
}

#[test]
fn a_renamed_dependency_is_named_everywhere() {
    let expansion =
        expand(r#"name = "c", crate = mesh::reexport"#, "trait Clock { async fn now(&self) -> u64; }");
    assert!(expansion.contains(r#"#[serde(crate = "mesh::reexport::__private::serde""#), "{expansion}");
    assert!(!expansion.contains("::qmesh"), "{expansion}");
}

#[test]
fn the_crate_qmesh_itself_can_have_contracts() {
    let expansion = expand(r#"name = "c", crate = crate"#, "trait Clock { async fn now(&self) -> u64; }");
    assert!(expansion.contains("impl crate::__private::Contract for ClockContract"), "{expansion}");
}

#[test]
fn everything_generated_has_the_visibility_of_the_trait() {
    let expansion =
        expand(r#"name = "c""#, "pub(crate) trait Clock { async fn now(&self, zone: String) -> u64; }");
    assert_eq!(expansion.matches("pub(crate) ").count(), 1 + 5 + 2, "{expansion}");
    assert_eq!(expansion.matches("pub ").count(), 0, "{expansion}");
    let private = expand(r#"name = "c""#, "trait Clock { async fn now(&self, zone: String) -> u64; }");
    assert!(!private.contains("pub"), "{private}");
}

#[test]
fn what_the_user_wrote_at_the_trait_is_kept() {
    let expansion = expand(
        r#"name = "c""#,
        "#[must_use] trait Clock: std::fmt::Debug + Send { #[deprecated] #[unknown] async fn now(&self); }",
    );
    assert!(
        expansion.contains("#[must_use]\ntrait Clock: std::fmt::Debug + Send + ::core::marker::Sync"),
        "{expansion}"
    );
    assert_eq!(expansion.matches("#[deprecated]").count(), 2, "the trait and the client\n{expansion}");
    assert_eq!(expansion.matches("#[unknown]").count(), 1, "the trait alone\n{expansion}");
}

#[test]
fn a_trait_named_like_our_type_parameter_is_no_clash() {
    let expansion = expand(r#"name = "c""#, "trait S { async fn now(&self); }");
    assert!(expansion.contains("impl<T: S> ::qmesh::__private::Serve<T> for SContract"), "{expansion}");
}

#[test]
fn a_string_in_any_spelling_is_taken_from_anything_that_becomes_one() {
    let expansion = expand(
        r#"name = "c""#,
        "trait C { async fn f(&self, a: String, b: std::string::String, c: ::alloc::string::String, d: my::String, \
         e: Option<String>); }",
    );
    assert_eq!(expansion.matches("impl ::core::convert::Into<").count(), 3, "{expansion}");
}

#[test]
fn a_mistake_in_one_method_leaves_the_rest_of_the_service_usable() {
    let expansion = expand(
        r#"name = "c""#,
        "trait C { #[oneway] async fn wrong(&self, text: &str); #[idempotent] async fn right(&self); }",
    );
    assert_eq!(expansion.matches("compile_error!").count(), 1, "{expansion}");
    assert!(
        expansion.contains("async fn wrong(&self, text: &str);"),
        "an implementation still fits\n{expansion}"
    );
    assert!(expansion.contains("struct CRightArguments"), "{expansion}");
    assert!(!expansion.contains("CWrongArguments") && !expansion.contains("oneway"), "{expansion}");
}

#[test]
fn a_wrong_name_leaves_the_whole_service_usable() {
    let expansion = expand("", "trait C { async fn right(&self); }");
    assert!(expansion.contains("compile_error!") && expansion.contains("struct CClient"), "{expansion}");
}

#[test]
fn what_cannot_be_a_contract_stays_what_it_was() {
    let expansion = expand(r#"name = "c""#, "trait C<T> { #[idempotent] async fn f(&self, t: T) -> T; }");
    assert!(expansion.contains("trait C<T> {\n    async fn f(&self, t: T) -> T;\n}"), "{expansion}");
    assert!(!expansion.contains("CClient"), "{expansion}");
    assert!(expand(r#"name = "c""#, "struct C;").contains("struct C;"));
}

#[test]
fn parameters_may_be_called_like_the_generated_codes_own() {
    let names =
        ["reply", "service", "call", "cx", "codec", "arguments", "method", "responder", "failure", "client"];
    let parameters: Vec<String> = names.iter().map(|name| format!("{name}: u8")).collect();
    let expansion =
        expand(r#"name = "c""#, &format!("trait C {{ async fn f(&self, {}); }}", parameters.join(", ")));
    for name in names {
        assert!(
            expansion.contains(&format!("arguments.{name},")),
            "read as a field, never bound: {name}\n{expansion}"
        );
    }
}
