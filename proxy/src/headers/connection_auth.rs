//! Authentication of a connection and not of a request: NTLM, and Negotiate, which may be NTLM within
//! (RFC 4559). What comes over a connection behind it is taken for the same client's.

/// Whether the value of `WWW-Authenticate` has a challenge of such a scheme, in any place of a list.
pub fn is_asked_for(challenges: &[u8]) -> bool {
    challenges.split(|byte| *byte == b',').any(|part| begins(part.trim_ascii()))
}

/// Whether the value of `Authorization` is of such a scheme.
pub fn is_given(credentials: &[u8]) -> bool {
    begins(credentials.trim_ascii_start())
}

fn begins(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b' ' || *byte == b'\t').unwrap_or(text.len());
    let scheme = &text[..end];
    scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_of_connections_are_known_among_others() {
        for asked in
            ["NTLM", "Negotiate", "negotiate TlRM", "Basic realm=\"x\", NTLM", "Digest a=b,NTLM"]
        {
            assert!(is_asked_for(asked.as_bytes()), "{asked}");
        }
        for other in ["", "Basic realm=\"NTLM x\"", "Bearer", "NTLMx", "Digest a=\"b\", c=d"] {
            assert!(!is_asked_for(other.as_bytes()), "{other}");
        }
        assert!(is_given(b"NTLM TlRM") && is_given(b"NEGOTIATE\tYII="));
        assert!(!is_given(b"Basic TlRM") && !is_given(b"Bearer NTLM"));
    }
}
