//! An issuer on this machine, and keys to sign with.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{Algorithm, EncodingKey};
use rsa::pkcs1::{EncodeRsaPrivateKey as _, EncodeRsaPublicKey as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

use super::NOW;

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key to sign with.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
    pub(crate) jwk: Value,
}

/// One RSA key for all tests: making one takes long.
fn rsa_key() -> &'static rsa::RsaPrivateKey {
    static KEY: OnceLock<rsa::RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap())
}

/// The public RSA key as an attacker has it.
pub(crate) fn rsa_public_pem() -> String {
    let public = rsa_key().to_public_key();
    public.to_pkcs1_pem(rsa::pkcs1::LineEnding::LF).unwrap()
}

impl Signer {
    pub(crate) fn ed(kid: &str, seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let x = b64(key.verifying_key().as_bytes());
        Self {
            kid: kid.to_owned(),
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_der(key.to_pkcs8_der().unwrap().as_bytes()),
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": x}),
        }
    }

    pub(crate) fn ec(kid: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let point = pair.public_key_raw();
        let (x, y) = (b64(&point[1..33]), b64(&point[33..]));
        Self {
            kid: kid.to_owned(),
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            jwk: json!({"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": x, "y": y}),
        }
    }

    pub(crate) fn rsa(kid: &str, algorithm: Algorithm) -> Self {
        let key = rsa_key();
        let (n, e) = (b64(key.n().to_bytes_be()), b64(key.e().to_bytes_be()));
        Self {
            kid: kid.to_owned(),
            algorithm,
            key: EncodingKey::from_rsa_der(key.to_pkcs1_der().unwrap().as_bytes()),
            jwk: json!({"kty": "RSA", "kid": kid, "n": n, "e": e}),
        }
    }

    /// A signed token with an ordinary header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.typed("JWT", claims)
    }

    /// A signed token of this type.
    pub(crate) fn typed(&self, typ: &str, claims: &Value) -> String {
        let alg = format!("{:?}", self.algorithm);
        let header = json!({"typ": typ, "alg": alg, "kid": self.kid});
        self.raw(&header.to_string(), &claims.to_string())
    }

    /// A signed token of any text at all.
    pub(crate) fn raw(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", b64(header), b64(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// What the issuer answers with.
struct Shared {
    url: String,
    keys: Mutex<Vec<Value>>,
    /// Paths that were asked for, in order.
    calls: Mutex<Vec<String>>,
    down: AtomicBool,
    named: Mutex<Option<String>>,
    active: AtomicBool,
    status: Mutex<String>,
    /// The last form and its `Authorization`.
    asked: Mutex<(String, String)>,
}

/// An issuer with discovery, keys, introspection and a status list; it ends with the tests.
pub(crate) struct TestIssuer {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

impl TestIssuer {
    pub(crate) fn start(signers: &[Signer]) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            url: url.clone(),
            keys: Mutex::default(),
            calls: Mutex::default(),
            down: AtomicBool::new(false),
            named: Mutex::default(),
            active: AtomicBool::new(true),
            status: Mutex::default(),
            asked: Mutex::default(),
        });
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    axum::serve(listener, router).await.unwrap();
                });
        });
        let issuer = Self { url, shared };
        issuer.rotate(signers);
        issuer
    }

    /// From now on these are the keys.
    pub(crate) fn rotate(&self, signers: &[Signer]) {
        *self.shared.keys.lock().unwrap() = signers.iter().map(|s| s.jwk.clone()).collect();
    }

    /// From now on every answer is a 503, or none is.
    pub(crate) fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// The discovery document names another issuer.
    pub(crate) fn name(&self, other: &str) {
        *self.shared.named.lock().unwrap() = Some(other.to_owned());
    }

    /// What introspection answers.
    pub(crate) fn set_active(&self, active: bool) {
        self.shared.active.store(active, Ordering::SeqCst);
    }

    /// The status list, signed; one bit for each token, and with other claims over the usual.
    pub(crate) fn set_status(&self, signer: &Signer, bytes: &[u8], over: Value) {
        let claims = super::claims(&self.url, over);
        let mut claims = super::object(claims);
        claims.entry("sub").and_modify(|sub| {
            if sub == "ada" {
                *sub = self.status_uri().into();
            }
        });
        let mut packer =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(bytes).unwrap();
        let packed = b64(packer.finish().unwrap());
        claims.insert("iat".to_owned(), NOW.into());
        claims
            .entry("status_list")
            .or_insert(json!({"bits": 1, "lst": packed}));
        let typ = claims.remove("typ");
        let typ = typ
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or("statuslist+jwt");
        *self.shared.status.lock().unwrap() = signer.typed(typ, &claims.into());
    }

    pub(crate) fn status_uri(&self) -> String {
        format!("{}/status", self.url)
    }

    /// How often a path was asked for.
    pub(crate) fn calls(&self, path: &str) -> usize {
        let calls = self.shared.calls.lock().unwrap();
        calls.iter().filter(|call| *call == path).count()
    }

    /// The last introspection: form and authorization.
    pub(crate) fn asked(&self) -> (String, String) {
        self.shared.asked.lock().unwrap().clone()
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    shared.calls.lock().unwrap().push(uri.path().to_owned());
    if shared.down.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    let text = match uri.path() {
        "/.well-known/openid-configuration" | "/.well-known/ssf-configuration" => {
            let named = shared.named.lock().unwrap().clone();
            json!({
                "issuer": named.unwrap_or_else(|| shared.url.clone()),
                "jwks_uri": format!("{}/keys", shared.url),
            })
            .to_string()
        }
        "/keys" => json!({"keys": *shared.keys.lock().unwrap()}).to_string(),
        "/introspect" => {
            let authorization = headers["authorization"].to_str().unwrap().to_owned();
            let form = String::from_utf8(body.to_vec()).unwrap();
            *shared.asked.lock().unwrap() = (form, authorization);
            json!({"active": shared.active.load(Ordering::SeqCst)}).to_string()
        }
        "/status" => shared.status.lock().unwrap().clone(),
        _ => return (StatusCode::NOT_FOUND, String::new()),
    };
    (StatusCode::OK, text)
}
