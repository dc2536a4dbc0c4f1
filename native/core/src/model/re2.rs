//! Prometheus's regular expressions, which are Go's (RE2 with Perl's flags), written as the `regex` crate reads them.
//!
//! The two differ where it shows: `{` that begins no repetition is a brace (`/users/{id}`), `\d \w \s` are ASCII, classes
//! know no nesting and no `&&`, `\Q…\E` quotes, `\1` to `\7` begin octal numbers; and `a**`, `a++`, counts above 1000
//! and the flags `x`, `u`, `R` are mistakes.

use std::fmt::Write;

const MOST_REPEATS: u32 = 1000;
const DIGIT: &str = "0-9";
const SPACE: &str = r"\t\n\x0C\r ";
const WORD: &str = "0-9A-Za-z_";
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

type Translated<T> = std::result::Result<T, &'static str>;

/// The same pattern in the other syntax, or what is wrong with it. What both read alike is left for the crate to check.
pub fn translate(pattern: &str) -> Translated<String> {
    let mut translator = Translator {
        rest: pattern,
        out: String::with_capacity(pattern.len() + 8),
    };
    translator.run()?;
    Ok(translator.out)
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
}

/// What an escape stands for.
enum Escape {
    Char(char),
    /// Items of a class, and whether all but them are meant.
    Class(&'static str, bool),
}

impl Translator<'_> {
    fn run(&mut self) -> Translated<()> {
        let mut is_repeated = false;
        while let Some(c) = self.rest.chars().next() {
            let repetition = self.repetition()?;
            if let Some(length) = repetition {
                if is_repeated {
                    return Err("invalid nested repetition operator");
                }
                self.copy(length);
                if self.rest.starts_with('?') {
                    self.copy(1);
                }
                is_repeated = true;
                continue;
            }
            is_repeated = false;
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '{' | '}' | ']' => {
                    self.skip(1);
                    self.literal(c);
                }
                _ => self.copy(c.len_utf8()),
            }
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn copy(&mut self, bytes: usize) {
        self.out.push_str(&self.rest[..bytes]);
        self.skip(bytes);
    }

    fn literal(&mut self, c: char) {
        // Writing to a string cannot fail.
        let _ = write!(self.out, r"\x{{{:X}}}", u32::from(c));
    }

    /// The length of the repetition that begins here: `*`, `+`, `?`, `{n}`, `{n,}` or `{n,m}`.
    fn repetition(&self) -> Translated<Option<usize>> {
        match self.rest.as_bytes()[0] {
            b'*' | b'+' | b'?' => return Ok(Some(1)),
            b'{' => {}
            _ => return Ok(None),
        }
        let Some(end) = self.rest.find('}') else {
            return Ok(None);
        };
        let inside = &self.rest[1..end];
        let (least, most) = inside
            .split_once(',')
            .map_or((inside, None), |(least, most)| (least, Some(most)));
        let is_count = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_digit())
                && (text.len() == 1 || !text.starts_with('0'))
        };
        if !is_count(least) || most.is_some_and(|most| !most.is_empty() && !is_count(most)) {
            return Ok(None);
        }
        let count = |text: &str| text.parse().unwrap_or(u32::MAX);
        let least = count(least);
        let most = most.filter(|most| !most.is_empty()).map_or(least, count);
        if least > MOST_REPEATS || most > MOST_REPEATS || most < least {
            return Err("invalid repeat count");
        }
        Ok(Some(end + 1))
    }

    /// Outside of a class.
    fn escape(&mut self) -> Translated<()> {
        match self.rest.as_bytes().get(1) {
            Some(b'Q') => {
                self.skip(2);
                let (quoted, behind) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
                self.rest = behind;
                for c in quoted.chars() {
                    self.literal(c);
                }
                Ok(())
            }
            Some(b'A' | b'z' | b'B') => {
                self.copy(2);
                Ok(())
            }
            Some(b'b') => {
                self.skip(2);
                self.out.push_str(r"(?-u:\b)");
                Ok(())
            }
            Some(b'p' | b'P') => self.property(),
            _ => {
                match self.escaped()? {
                    Escape::Char(c) => self.literal(c),
                    Escape::Class(items, is_negated) => {
                        self.out.push_str(if is_negated { "[^" } else { "[" });
                        self.out.push_str(items);
                        self.out.push(']');
                    }
                }
                Ok(())
            }
        }
    }

    /// `\pL`, `\p{Greek}`, `\P{^Greek}`.
    fn property(&mut self) -> Translated<()> {
        const WRONG: &str = "invalid character class range";
        let is_negated = self.rest.as_bytes()[1] == b'P';
        self.skip(2);
        let (name, length) = if self.rest.starts_with('{') {
            let end = self.rest.find('}').ok_or(WRONG)?;
            (&self.rest[1..end], end + 1)
        } else {
            let length = self.rest.chars().next().ok_or(WRONG)?.len_utf8();
            (&self.rest[..length], length)
        };
        let is_turned = name.starts_with('^');
        let name = name.trim_start_matches('^');
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(WRONG);
        }
        let _ = write!(
            self.out,
            r"\{}{{{name}}}",
            if is_negated == is_turned { 'p' } else { 'P' }
        );
        self.skip(length);
        Ok(())
    }

    /// An escape that is good in a class, too.
    fn escaped(&mut self) -> Translated<Escape> {
        const WRONG: &str = "invalid escape sequence";
        self.skip(1);
        let c = self
            .rest
            .chars()
            .next()
            .ok_or("trailing backslash at end of expression")?;
        self.skip(c.len_utf8());
        Ok(match c {
            'd' | 'D' => Escape::Class(DIGIT, c == 'D'),
            's' | 'S' => Escape::Class(SPACE, c == 'S'),
            'w' | 'W' => Escape::Class(WORD, c == 'W'),
            'a' => Escape::Char('\x07'),
            'f' => Escape::Char('\x0C'),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            't' => Escape::Char('\t'),
            'v' => Escape::Char('\x0B'),
            'x' => Escape::Char(self.hexadecimal().ok_or(WRONG)?),
            '0'..='7' => Escape::Char(self.octal(c).ok_or(WRONG)?),
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Escape::Char(c),
            _ => return Err(WRONG),
        })
    }

    /// Behind `\x`: two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Option<char> {
        let (digits, length) = if let Some(inside) = self.rest.strip_prefix('{') {
            let end = inside.find('}')?;
            (&inside[..end], end + 2)
        } else {
            (self.rest.get(..2)?, 2)
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let found = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
        self.skip(length);
        Some(found)
    }

    /// Up to three digits, `first` among them; a single one that is not 0 would be a reference to a group.
    fn octal(&mut self, first: char) -> Option<char> {
        let mut value = first.to_digit(8)?;
        let mut digits = 1;
        while let (true, Some(digit)) = (digits < 3, self.rest.chars().next().and_then(|c| c.to_digit(8))) {
            value = value * 8 + digit;
            digits += 1;
            self.skip(1);
        }
        if digits == 1 && first != '0' {
            return None;
        }
        char::from_u32(value)
    }

    fn group(&mut self) -> Translated<()> {
        const WRONG: &str = "invalid or unsupported Perl syntax";
        if !self.rest.starts_with("(?") {
            self.copy(1);
            return Ok(());
        }
        let name = self
            .rest
            .strip_prefix("(?P<")
            .or_else(|| self.rest.strip_prefix("(?<"));
        if let Some(name) = name {
            let end = name.find('>').ok_or("invalid named capture")?;
            if end == 0
                || !name[..end]
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_')
            {
                return Err("invalid named capture");
            }
            self.copy(self.rest.len() - name.len() + end + 1);
            return Ok(());
        }
        let length = self.rest.find([':', ')']).ok_or("missing closing )")?;
        let rest = self.rest;
        let (on, off) = rest[2..length]
            .split_once('-')
            .map_or((&rest[2..length], None), |(on, off)| (on, Some(off)));
        let is_flag = |b| matches!(b, b'i' | b'm' | b's' | b'U');
        if off == Some("") || !on.bytes().chain(off.unwrap_or("").bytes()).all(is_flag) {
            return Err(WRONG);
        }
        // Go takes a flag twice, and one that is set and cleared as cleared.
        let off = off.unwrap_or("");
        self.out.push_str("(?");
        self.out
            .extend("imsU".chars().filter(|&c| on.contains(c) && !off.contains(c)));
        if !off.is_empty() {
            self.out.push('-');
            self.out.extend("imsU".chars().filter(|&c| off.contains(c)));
        }
        self.skip(length);
        if on.is_empty() && off.is_empty() && self.rest.starts_with(')') {
            self.out.push(':');
        }
        self.copy(1);
        Ok(())
    }

    fn class(&mut self) -> Translated<()> {
        const UNCLOSED: &str = "missing closing ]";
        self.copy(1);
        if self.rest.starts_with('^') {
            self.copy(1);
        }
        let mut is_first = true;
        loop {
            let c = self.rest.chars().next().ok_or(UNCLOSED)?;
            if c == ']' && !is_first {
                self.copy(1);
                return Ok(());
            }
            is_first = false;
            if self.posix()? {
                continue;
            }
            if self.rest.starts_with(r"\p") || self.rest.starts_with(r"\P") {
                self.property()?;
                continue;
            }
            let low = match self.class_item()? {
                Escape::Char(low) => low,
                Escape::Class(items, is_negated) => {
                    // Writing to a string cannot fail.
                    let _ = write!(self.out, "[{}{items}]", if is_negated { "^" } else { "" });
                    continue;
                }
            };
            self.literal(low);
            if self.rest.starts_with('-') && self.rest.len() > 1 && !self.rest.starts_with("-]") {
                self.skip(1);
                match self.class_item()? {
                    Escape::Char(high) if low <= high => {
                        self.out.push('-');
                        self.literal(high);
                    }
                    _ => return Err("invalid character class range"),
                }
            }
        }
    }

    fn class_item(&mut self) -> Translated<Escape> {
        if self.rest.starts_with('\\') {
            return self.escaped();
        }
        let c = self.rest.chars().next().ok_or("missing closing ]")?;
        self.skip(c.len_utf8());
        Ok(Escape::Char(c))
    }

    /// Whether `[:alpha:]` or its like stood here. A `[:` that nothing closes is two characters.
    fn posix(&mut self) -> Translated<bool> {
        let Some(end) = self.rest.strip_prefix("[:").and_then(|inside| inside.find(":]")) else {
            return Ok(false);
        };
        let name = self.rest[2..2 + end].trim_start_matches('^');
        if !POSIX.contains(&name) {
            return Err("invalid character class range");
        }
        self.copy(end + 4);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn what_both_read_alike_stays() {
        for pattern in [
            "", "a.*|b+?", "(?i:API)", "(?P<x>a)", "^a{2,3}$", "ü(x|y)*", r"\Aa\z", "(?s).",
        ] {
            assert_eq!(translate(pattern).as_deref(), Ok(pattern));
        }
    }

    #[test]
    fn what_they_read_otherwise_is_rewritten() {
        for (pattern, translated) in [
            ("/users/{id}", r"/users/\x{7B}id\x{7D}"),
            ("a{,2}", r"a\x{7B},2\x{7D}"),
            ("a{1", r"a\x{7B}1"),
            ("]}", r"\x{5D}\x{7D}"),
            (r"\d\W", "[0-9][^0-9A-Za-z_]"),
            (r"\.\<", r"\x{2E}\x{3C}"),
            (r"\Qa.\E.", r"\x{61}\x{2E}."),
            (r"\101\0", r"\x{41}\x{0}"),
            (r"\x{263a}\x41", r"\x{263A}\x{41}"),
            (r"\p{^Greek}\PL", r"\P{Greek}\P{L}"),
            ("[a&&b]", r"[\x{61}\x{26}\x{26}\x{62}]"),
            ("[[a]", r"[\x{5B}\x{61}]"),
            ("[]a-c-]", r"[\x{5D}\x{61}-\x{63}\x{2D}]"),
            (r"[^\d[:alpha:]]", r"[^[0-9][:alpha:]]"),
            ("(?ii:a)", "(?i:a)"),
            ("(?sis-ii)a", "(?s-i)a"),
            ("(?i-i:a)", "(?-i:a)"),
            ("(?)a", "(?:)a"),
        ] {
            assert_eq!(translate(pattern).as_deref(), Ok(translated), "{pattern}");
        }
    }

    #[test]
    fn what_is_a_mistake_there_is_refused() {
        for pattern in [
            "a**",
            "a++",
            "a*{2}",
            "a{1001}",
            "a{3,2}",
            r"\1",
            r"\u{61}",
            r"\",
            r"\é",
            "(?x)a",
            "(?i-)a",
            "(?i--s)a",
            "(?=a)",
            "(?P<a.b>c)",
            "[a--z]",
            "[z-a]",
            "[a",
            "[[:no:]]",
            r"[a-\d]",
            r"\p{",
            r"\x4",
        ] {
            assert!(translate(pattern).is_err(), "{pattern}");
        }
    }
}
