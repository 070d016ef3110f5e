//! What a request costs by the RFC, beside its HTTP exchange: one raw signature, or one raw verification.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use mintgate::ambient::entropy::ring_source;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};

/// About the signed part of an access token.
const MESSAGE: [u8; 400] = [7; 400];

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    Es256,
    EdDsa,
    Rs256,
    /// A verification of ES256.
    Es256Check,
}

/// One of them, with its key parsed.
pub enum Work {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    Check { public: Vec<u8>, signature: Vec<u8> },
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256 signature",
            Self::EdDsa => "EdDSA signature",
            Self::Rs256 => "RS256 signature",
            Self::Es256Check => "ES256 verification",
        }
    }

    /// How many make a figure: 16 to 60 ms of work.
    fn repetitions(self) -> u32 {
        if self == Self::Rs256 { 60 } else { 1000 }
    }

    pub fn work(self) -> Work {
        let ecdsa = || {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, ring_source()).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), ring_source()).unwrap()
        };
        match self {
            Self::Es256 => Work::Ecdsa(ecdsa()),
            Self::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(ring_source()).unwrap();
                Work::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
            }
            Self::Rs256 => {
                // ring makes no RSA keys; the key lives as long as this process.
                let output = Command::new("openssl").args(["genrsa", "2048"]).output().expect("openssl");
                let pem = String::from_utf8(output.stdout).unwrap();
                let (kind, der) = <(rustls_pki_types::pem::SectionKind, Vec<u8>) as rustls_pki_types::pem::PemObject>::
                    from_pem_slice(pem.as_bytes()).unwrap();
                let pkcs8 = kind == rustls_pki_types::pem::SectionKind::PrivateKey;
                let pair = if pkcs8 { RsaKeyPair::from_pkcs8(&der) } else { RsaKeyPair::from_der(&der) };
                Work::Rsa(Box::new(pair.unwrap()))
            }
            Self::Es256Check => {
                let pair = ecdsa();
                let signature = pair.sign(ring_source(), &MESSAGE).unwrap().as_ref().to_vec();
                Work::Check { public: pair.public_key().as_ref().to_vec(), signature }
            }
        }
    }

    /// Microseconds of one, on this machine, now. CPU time, not wall time: the machine may be busy.
    pub fn measure(self) -> f64 {
        static WORK: OnceLock<[Work; 3]> = OnceLock::new();
        static RSA: OnceLock<Work> = OnceLock::new();
        let [signs, edwards, checks] =
            WORK.get_or_init(|| [Self::Es256.work(), Self::EdDsa.work(), Self::Es256Check.work()]);
        let work = match self {
            Self::Es256 => signs,
            Self::EdDsa => edwards,
            Self::Es256Check => checks,
            Self::Rs256 => RSA.get_or_init(|| Self::Rs256.work()),
        };
        let before = own_cpu();
        for _ in 0..self.repetitions() {
            work.once();
        }
        (own_cpu() - before).as_secs_f64() * 1e6 / f64::from(self.repetitions())
    }
}

impl Work {
    pub fn once(&self) {
        match self {
            Self::Ecdsa(pair) => drop(std::hint::black_box(pair.sign(ring_source(), &MESSAGE).unwrap())),
            Self::Ed25519(pair) => drop(std::hint::black_box(pair.sign(&MESSAGE))),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, ring_source(), &MESSAGE, &mut signature).unwrap();
                std::hint::black_box(signature);
            }
            Self::Check { public, signature } => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
                key.verify(&MESSAGE, signature).unwrap();
            }
        }
    }
}

fn own_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}
