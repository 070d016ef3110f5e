//! What is taken from a request, and what is refused.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use mintgate::http::extract::{Authorization, Basic, MediaType, authorization, media_type, read_body};
use mintgate::http::limits::BodyLimits;
use mintgate::protocol::error::{ClientReason, RequestReason};

fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
}

#[test]
fn media_types() {
    let rows: [(&[&str], Result<MediaType, RequestReason>); 10] = [
        (&["application/x-www-form-urlencoded"], Ok(MediaType::Form)),
        (&["Application/X-WWW-Form-URLEncoded; charset=UTF-8"], Ok(MediaType::Form)),
        (&["application/json"], Ok(MediaType::Json)),
        (&["application/json; charset=\"utf-8\""], Ok(MediaType::Json)),
        (&["application/json;charset=iso-8859-1"], Err(RequestReason::MediaType)),
        (&["application/jsonx"], Err(RequestReason::MediaType)),
        (&["multipart/form-data; boundary=x"], Err(RequestReason::MediaType)),
        (&["application/json", "application/json"], Err(RequestReason::MediaType)),
        (&[""], Err(RequestReason::MediaType)),
        (&[], Err(RequestReason::MediaType)),
    ];
    for (values, expected) in rows {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(media_type(&map), expected, "{values:?}");
    }
}

#[tokio::test]
async fn bodies_within_bounds() {
    let limits = BodyLimits { body_bytes_max: 3, ..BodyLimits::default() };
    let rows: [(&str, HeaderMap, &str, Result<&str, RequestReason>); 5] = [
        ("at the bound", HeaderMap::new(), "abc", Ok("abc")),
        ("one over", HeaderMap::new(), "abcd", Err(RequestReason::TooLarge)),
        ("announced over", headers(&[(CONTENT_LENGTH, "4")]), "", Err(RequestReason::TooLarge)),
        ("encoded", headers(&[(CONTENT_ENCODING, "gzip")]), "a", Err(RequestReason::ContentEncoding)),
        ("empty", HeaderMap::new(), "", Ok("")),
    ];
    for (name, headers, body, expected) in rows {
        let got = read_body(&headers, Full::new(Bytes::from_static(body.as_bytes())), &limits).await;
        assert_eq!(got, expected.map(|text| Bytes::from_static(text.as_bytes())), "{name}");
    }
}

#[test]
fn basic_credentials_are_form_decoded() {
    let pair = |id: &str, secret: &str| (id.to_owned(), secret.to_owned().into());
    let basic = |id: &str, secret: &str, raw| {
        Authorization::Basic(Basic { id: id.into(), secret: secret.to_owned().into(), raw })
    };
    let rows: [(&str, Authorization<'_>); 6] = [
        ("Basic YTpi", basic("a", "b", None)),
        ("bAsIc  YTpi", basic("a", "b", None)),
        // "a:b:c"
        ("Basic YTpiOmM=", basic("a", "b:c", None)),
        // "a%20b:c+d": RFC 6749 section 2.3.1
        ("Basic YSUyMGI6Yytk", basic("a b", "c d", Some(pair("a%20b", "c+d")))),
        // "a:%zz": no encoding at all
        ("Basic YToleno=", basic("a", "%zz", None)),
        // ":"
        ("Basic Og==", basic("", "", None)),
    ];
    for (value, expected) in rows {
        assert_eq!(authorization(&headers(&[(AUTHORIZATION, value)])), Ok(expected), "{value}");
    }
}

#[test]
fn authorization_is_one_header_or_none() {
    assert_eq!(authorization(&HeaderMap::new()), Ok(Authorization::Absent));
    assert_eq!(authorization(&headers(&[(AUTHORIZATION, "Bearer a.b-c_d~=")])), Ok(Authorization::Bearer("a.b-c_d~=")));
    assert_eq!(authorization(&headers(&[(AUTHORIZATION, "Negotiate abc")])), Ok(Authorization::Other));
    let long = format!("Basic {}", "A".repeat(10_000));
    let mut twice = headers(&[(AUTHORIZATION, "Basic YTpi")]);
    twice.append(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
    let rows = [
        ("twice", twice),
        ("not base64", headers(&[(AUTHORIZATION, "Basic !!!")])),
        ("no colon", headers(&[(AUTHORIZATION, "Basic YWI=")])),
        ("a control character", headers(&[(AUTHORIZATION, "Basic YTpiCg==")])),
        ("not UTF-8", headers(&[(AUTHORIZATION, "Basic YTr/")])),
        ("no credentials", headers(&[(AUTHORIZATION, "Basic")])),
        ("two words", headers(&[(AUTHORIZATION, "Bearer a b")])),
        ("no token", headers(&[(AUTHORIZATION, "Bearer ")])),
        ("too long", headers(&[(AUTHORIZATION, &long)])),
    ];
    for (name, map) in rows {
        assert_eq!(authorization(&map), Err(ClientReason::Malformed), "{name}");
    }
}
