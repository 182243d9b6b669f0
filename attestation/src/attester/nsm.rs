//! The Nitro security module behind `/dev/nsm`.
//!
//! Runs only inside a Nitro enclave, or QEMU's emulation of one, which signs
//! nothing and is told apart by that; nothing here was ever run on AWS hardware.
//! Elsewhere `open` returns the error that says so.

use std::collections::BTreeMap;

use aws_nitro_enclaves_nsm_api::api::{Request, Response};
use aws_nitro_enclaves_nsm_api::driver::{nsm_exit, nsm_init, nsm_process_request};
use serde_bytes::ByteBuf;
use zeroize::Zeroize;

use super::{AttestRequest, Attester, AttesterError, check_lengths};
use crate::document::{Pcrs, says_unsigned};
use crate::entropy::{Entropy, EntropyError};
use crate::genesis::Environment;

const DEVICE: &str = "/dev/nsm";
/// PCRs 0 to 15 are the platform's and locked; 16 and up are the image's own.
const PLATFORM_PCRS: u16 = 16;

/// An open security module.
#[derive(Debug)]
pub struct NsmAttester {
    fd: i32,
    environment: Environment,
}

impl NsmAttester {
    /// Opens the device and asks it for one document, to see whether it signs.
    /// A module that does not is an emulated one: an enclave over it refuses a
    /// hardware manifest, as every verifier of its documents does.
    pub fn open() -> Result<Self, AttesterError> {
        let fd = nsm_init();
        if fd < 0 {
            return Err(AttesterError::NoDevice { path: DEVICE });
        }
        let mut attester = Self {
            fd,
            environment: Environment::Hardware,
        };
        if says_unsigned(&attester.attest(&AttestRequest::default())?)? {
            attester.environment = Environment::Emulated;
        }
        Ok(attester)
    }

    fn ask(&self, name: &'static str, request: Request) -> Result<Response, AttesterError> {
        match nsm_process_request(self.fd, request) {
            Response::Error(code) => Err(AttesterError::Device {
                request: name,
                code: format!("{code:?}"),
            }),
            response => Ok(response),
        }
    }
}

fn unexpected(request: &'static str) -> AttesterError {
    AttesterError::Device {
        request,
        code: "answered another request than was asked".into(),
    }
}

impl Drop for NsmAttester {
    fn drop(&mut self) {
        nsm_exit(self.fd);
    }
}

impl Entropy for NsmAttester {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        let mut filled = 0;
        while filled < out.len() {
            let answer = self
                .ask("GetRandom", Request::GetRandom)
                .map_err(|error| EntropyError(error.to_string()))?;
            let Response::GetRandom { mut random } = answer else {
                return Err(EntropyError(unexpected("GetRandom").to_string()));
            };
            if random.is_empty() {
                return Err(EntropyError("GetRandom returned nothing".into()));
            }
            let take = random.len().min(out.len() - filled);
            out[filled..filled + take].copy_from_slice(&random[..take]);
            random.zeroize();
            filled += take;
        }
        Ok(())
    }
}

impl Attester for NsmAttester {
    fn environment(&self) -> Environment {
        self.environment
    }

    fn attest(&self, request: &AttestRequest) -> Result<Vec<u8>, AttesterError> {
        check_lengths(request)?;
        let bytes = |field: &Option<Vec<u8>>| field.clone().map(ByteBuf::from);
        let ask = Request::Attestation {
            user_data: bytes(&request.user_data),
            nonce: bytes(&request.nonce),
            public_key: bytes(&request.public_key),
        };
        match self.ask("Attestation", ask)? {
            Response::Attestation { document } => Ok(document),
            _ => Err(unexpected("Attestation")),
        }
    }

    fn pcrs(&self) -> Result<Pcrs, AttesterError> {
        let mut pcrs = BTreeMap::new();
        for index in 0..PLATFORM_PCRS {
            match self.ask("DescribePCR", Request::DescribePCR { index })? {
                Response::DescribePCR { data, .. } => pcrs.insert(index as u8, data),
                _ => return Err(unexpected("DescribePCR")),
            };
        }
        Ok(Pcrs(pcrs))
    }
}
