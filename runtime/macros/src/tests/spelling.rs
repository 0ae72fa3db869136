//! Both sides of a call spell a type alike.

use crate::signature;

#[track_caller]
fn spells(written: &str, canonical: &str) {
    let ty = syn::parse_str(written).expect("a type");
    assert_eq!(signature::of(&ty), canonical);
}

#[test]
fn a_path_is_reduced_to_its_last_segment() {
    spells("u32", "u32");
    spells("::std::string::String", "String");
    spells("std::vec::Vec<chat::Line>", "Vec<Line>");
    spells("crate::a::B<super::c::D, self::E>", "B<D,E>");
    spells("<T as crate::Trait>::Item", "<T>::Item");
}

#[test]
fn white_space_parentheses_and_raw_prefixes_do_not_matter() {
    spells("Vec < ( ( u8 ) ) >", "Vec<u8>");
    spells("Result<Vec<r#type>, ChatError>", "Result<Vec<type>,ChatError>");
    spells("Empty<>", "Empty");
}

#[test]
fn tuples_keep_their_arity() {
    spells("()", "()");
    spells("(u8)", "u8");
    spells("(u8,)", "(u8,)");
    spells("(a::A, b::B,)", "(A,B)");
}

#[test]
fn constants_are_compared_by_value_where_they_are_numbers() {
    spells("[u8; 32]", "[u8;32]");
    spells("[a::A; 0x20usize]", "[A;32]");
    spells("Ring<u8, 1_000>", "Ring<u8,1000>");
    spells("[u8; limits::BYTES]", "[u8;BYTES]");
}

#[test]
fn a_type_inside_an_invisible_group_is_spelled_as_the_type() {
    let group = proc_macro2::Group::new(proc_macro2::Delimiter::None, super::tokens("std::vec::Vec<u8>"));
    let ty = syn::parse2(quote::quote!(Option<#group>)).expect("a type");
    assert_eq!(signature::of(&ty), "Option<Vec<u8>>");
}
