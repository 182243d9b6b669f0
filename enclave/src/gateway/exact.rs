//! JSON bodies read one way only.
//!
//! Protects against: input that means two things. A derived reader takes a struct's
//! members as an array as well, and a word as `{"word": null}`; the contract knows
//! neither spelling, so both are refused, at any depth.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A value whose structs were objects and whose words were strings.
pub(super) struct Exact<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Exact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(Strict(deserializer)).map(Exact)
    }
}

/// Any part of the reading, refusing the other spellings.
struct Strict<X>(X);

macro_rules! forward {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Strict(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    forward! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_option deserialize_unit deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Strict(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let word = String::deserialize(self.0)?;
        visitor.visit_enum(word.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Strict(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Strict(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(length, Strict(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0
            .deserialize_tuple_struct(name, length, Strict(visitor))
    }
}

macro_rules! visit {
    ($($method:ident: $value:ty,)*) => {
        $(fn $method<E: serde::de::Error>(self, value: $value) -> Result<V::Value, E> {
            self.0.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool: bool,
        visit_i64: i64,
        visit_i128: i128,
        visit_u64: u64,
        visit_u128: u128,
        visit_f64: f64,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
        visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>,
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(members))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Seed(seed, PhantomData))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Seed(seed, PhantomData))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

/// Reads what is inside as strictly.
struct Seed<'de, T>(T, PhantomData<&'de ()>);

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<'de, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        self.0.deserialize(Strict(deserializer))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::extract::parse;
    use crate::api::{EnrollInitiate, PresentedAuthentication, RotateEpoch};

    fn enrolment(value: &Value) -> Result<EnrollInitiate, String> {
        parse(value.to_string().as_bytes()).map_err(|problem| problem.body("").detail)
    }

    #[test]
    fn a_structs_members_do_not_come_as_an_array() {
        let right = json!({"user_id": "a", "modality": "facial", "consent_given": true,
            "device_info": {"type": "mobile", "os": null}});
        assert!(enrolment(&right).is_ok());
        let told = enrolment(&json!(["a", "facial", true, null])).unwrap_err();
        assert!(told.contains("sequence"), "{told}");
        let mut nested = right;
        nested["device_info"] = json!([null, null]);
        let told = enrolment(&nested).unwrap_err();
        assert!(told.starts_with("device_info: "), "{told}");
    }

    #[test]
    fn a_word_does_not_come_as_an_object() {
        let value = json!({"user_id": "a", "modality": {"facial": null}, "consent_given": true});
        let told = enrolment(&value).unwrap_err();
        assert!(told.starts_with("modality: "), "{told}");
    }

    #[test]
    fn arrays_and_documents_stay_what_they_are() {
        let answer = json!({"user_id": "a", "id": "AQ", "rawId": "AQ", "type": "public-key",
            "clientExtensionResults": {"a": [1, {"b": null}], "credProps": {"rk": true}},
            "response": {"clientDataJSON": "AQ", "authenticatorData": "AQ", "signature": "AQ"}});
        let read: PresentedAuthentication = parse(answer.to_string().as_bytes()).unwrap();
        assert_eq!(
            read.credential.client_extension_results,
            answer["clientExtensionResults"]
        );
        let mut bent = answer.clone();
        bent["response"] = json!(["AQ", "AQ", "AQ"]);
        assert!(parse::<PresentedAuthentication>(bent.to_string().as_bytes()).is_err());
        let files = br#"{"genesis":{"payload":"a","signatures":[{}]},"config":{"payload":"b"}}"#;
        let (genesis, _) = parse::<RotateEpoch>(files).unwrap().successor.unwrap();
        assert_eq!(genesis, json!({"payload": "a", "signatures": [{}]}));
    }
}
