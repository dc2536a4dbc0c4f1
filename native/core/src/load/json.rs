//! A pull parser over one JSON text: the caller says what it expects where. Errors name the byte.

use std::borrow::Cow;

use crate::{Error, Result};

/// Deeper nesting than this is nothing that a query answers.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The first byte of what comes next, after blanks.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// Nothing but blanks may follow.
    pub fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end")),
        }
    }

    pub fn byte(&mut self, wanted: u8) -> Result<()> {
        if self.take(wanted) {
            return Ok(());
        }
        Err(self.expected(&format!("'{}'", char::from(wanted))))
    }

    /// Steps over this byte if it comes next.
    pub fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Calls `each` with every key, at its value; `each` must step over the value.
    pub fn object(&mut self, mut each: impl FnMut(&mut Self, &[u8]) -> Result<()>) -> Result<()> {
        self.byte(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.byte(b':')?;
            each(self, &key)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.byte(b',')?;
        }
    }

    /// Calls `each` at every element, which it must step over.
    pub fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.byte(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.take(b']') {
                return Ok(());
            }
            self.byte(b',')?;
        }
    }

    pub fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        self.byte(b'"')?;
        let start = self.at;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
                }
                Some(b'\\') => return self.escaped(self.text[start..self.at].to_vec()).map(Cow::Owned),
                Some(_) => self.at += 1,
                None => return Err(self.expected("the end of a string")),
            }
        }
    }

    /// The rest of a string after its first backslash; `out` is what came before.
    fn escaped(&mut self, mut out: Vec<u8>) -> Result<Vec<u8>> {
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                return Err(self.expected("the end of a string"));
            };
            self.at += 1;
            match byte {
                b'"' => return Ok(out),
                b'\\' => {
                    let Some(&escape) = self.text.get(self.at) else {
                        return Err(self.expected("the end of an escape"));
                    };
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' => out.push(escape),
                        b'b' => out.push(8),
                        b'f' => out.push(12),
                        b'n' => out.push(b'\n'),
                        b'r' => out.push(b'\r'),
                        b't' => out.push(b'\t'),
                        b'u' => {
                            let c = self.unicode()?;
                            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        _ => return Err(self.expected("an escape that JSON has")),
                    }
                }
                _ => out.push(byte),
            }
        }
    }

    /// A character from its code after `\u`, or from two of them that are a surrogate pair.
    fn unicode(&mut self) -> Result<char> {
        let high = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let low = self.hex()?.wrapping_sub(0xdc00);
            if low >= 0x400 {
                return Err(self.expected("the second half of a surrogate pair"));
            }
            0x1_0000 + ((high - 0xd800) << 10) + low
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.expected("a character"))
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        let code = digits
            .iter()
            .try_fold(0, |code, &digit| {
                Some(code * 16 + char::from(digit).to_digit(16)?)
            })
            .filter(|_| !digits.is_empty())
            .ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }

    /// A number, as it is written.
    pub fn number(&mut self) -> Result<f64> {
        self.peek();
        let start = self.at;
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
        }
        std::str::from_utf8(&self.text[start..self.at])
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.expected("a number"))
    }

    pub fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    fn word(&mut self, word: &str) -> Result<()> {
        self.peek();
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected(word));
        }
        self.at += word.len();
        Ok(())
    }

    /// Steps over any value.
    pub fn skip(&mut self) -> Result<()> {
        self.skip_within(MAX_DEPTH)
    }

    fn skip_within(&mut self, depth: usize) -> Result<()> {
        let Some(deeper) = depth.checked_sub(1) else {
            return Err(self.expected("less nesting"));
        };
        match self.peek() {
            Some(b'{') => self.object(|scanner, _| scanner.skip_within(deeper)),
            Some(b'[') => self.array(|scanner| scanner.skip_within(deeper)),
            Some(b'"') => self.string().map(drop),
            Some(b't' | b'f') => self.boolean().map(drop),
            Some(b'n') => self.word("null"),
            _ => self.number().map(drop),
        }
    }

    fn expected(&self, what: &str) -> Error {
        Error::BadData(format!("damaged JSON: expected {what} at byte {}", self.at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_of_every_kind_are_stepped_over() {
        let text = br#" {"a":[1,-2.5e3,{"b":null}],"c":true,"d":"x\"y","e":{},"f":[],"g":false} "#;
        let mut scanner = Scanner::new(text);
        scanner.skip().unwrap();
        scanner.end().unwrap();
    }

    #[test]
    fn strings_are_unescaped() {
        let mut scanner = Scanner::new(br#""a\n\t\"\\\/\u00e9\ud83d\ude00z""#);
        assert_eq!(scanner.string().unwrap().as_ref(), "a\n\t\"\\/é😀z".as_bytes());
        for bad in [
            &br#""\x""#[..],
            br#""\u12"#,
            br#""\ud83d\u0041""#,
            br#""\udc00""#,
            br#""abc"#,
        ] {
            assert!(Scanner::new(bad).string().is_err());
        }
    }

    #[test]
    fn errors_name_the_byte() {
        let error = Scanner::new(b"[1,}")
            .array(|scanner| scanner.number().map(drop))
            .unwrap_err();
        assert!(
            error.to_string().contains("expected a number at byte 3"),
            "{error}"
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let text = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert!(Scanner::new(&text).skip().is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_an_error_or_a_value(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Scanner::new(&text).skip();
        }

        #[test]
        fn arbitrary_text_of_json_bytes_too(text in "[\\[\\]{}\":,0-9eutrfalsn\\\\ .-]{0,64}") {
            let _ = Scanner::new(text.as_bytes()).skip();
        }
    }
}
