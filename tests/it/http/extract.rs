//! What is taken from a request, and what is refused.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use mintgate::http::extract::{MediaType, media_type, read_body};
use mintgate::http::limits::BodyLimits;
use mintgate::protocol::error::RequestReason;

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
