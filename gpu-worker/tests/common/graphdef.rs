//! Writes frozen TensorFlow graphs, for tests (`graph.proto` and what it needs).

/// A constant of floats.
pub(crate) struct Numbers {
    dims: Vec<usize>,
    values: Vec<f32>,
}

impl Numbers {
    pub(crate) fn of(dims: &[usize], values: Vec<f32>) -> Self {
        let dims = dims.to_vec();
        Self { dims, values }
    }
}

#[derive(Default)]
pub(crate) struct Graphdef(Vec<Vec<u8>>);

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    varint(field << 3, out);
    varint(number, out);
}

fn put(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(field << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// `AttrValue`: a list of integers.
fn list(numbers: &[u64]) -> Vec<u8> {
    let (mut packed, mut inner, mut out) = (Vec::new(), Vec::new(), Vec::new());
    numbers
        .iter()
        .for_each(|number| varint(*number, &mut packed));
    put(&mut inner, 3, &packed);
    put(&mut out, 1, &inner);
    out
}

fn said(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, 2, text.as_bytes());
    out
}

/// `AttrValue`: a tensor.
fn tensor(kind: u64, dims: &[usize], content: &[u8]) -> Vec<u8> {
    let (mut shape, mut inner, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for dim in dims {
        let mut size = Vec::new();
        put_number(&mut size, 1, *dim as u64);
        put(&mut shape, 2, &size);
    }
    put_number(&mut inner, 1, kind);
    put(&mut inner, 2, &shape);
    put(&mut inner, 4, content);
    put(&mut out, 8, &inner);
    out
}

impl Graphdef {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.0.iter().for_each(|node| put(&mut out, 1, node));
        out
    }

    /// The last node first.
    pub(crate) fn turned_round(mut self) -> Self {
        self.0.reverse();
        self
    }

    fn full(&mut self, name: &str, op: &str, inputs: &[&str], attributes: &[(&str, Vec<u8>)]) {
        let mut node = Vec::new();
        put(&mut node, 1, name.as_bytes());
        put(&mut node, 2, op.as_bytes());
        inputs
            .iter()
            .for_each(|input| put(&mut node, 3, input.as_bytes()));
        for (key, value) in attributes {
            let mut entry = Vec::new();
            put(&mut entry, 1, key.as_bytes());
            put(&mut entry, 2, value);
            put(&mut node, 5, &entry);
        }
        self.0.push(node);
    }

    pub(crate) fn placeholder(&mut self, name: &str) {
        self.full(name, "Placeholder", &[], &[]);
    }

    pub(crate) fn node(&mut self, name: &str, op: &str, inputs: &[&str]) {
        self.full(name, op, inputs, &[]);
    }

    pub(crate) fn floats(&mut self, name: &str, numbers: &Numbers) {
        let content: Vec<u8> = numbers
            .values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        self.full(
            name,
            "Const",
            &[],
            &[("value", tensor(1, &numbers.dims, &content))],
        );
    }

    /// One number for all.
    pub(crate) fn repeated(&mut self, name: &str, count: usize, number: f32) {
        let (mut size, mut shape) = (Vec::new(), Vec::new());
        let (mut inner, mut value) = (Vec::new(), Vec::new());
        put_number(&mut size, 1, count as u64);
        put(&mut shape, 2, &size);
        put_number(&mut inner, 1, 1);
        put(&mut inner, 2, &shape);
        put(&mut inner, 5, &number.to_le_bytes());
        put(&mut value, 8, &inner);
        self.full(name, "Const", &[], &[("value", value)]);
    }

    pub(crate) fn integers(&mut self, name: &str, numbers: &[i32]) {
        let content: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        let dims = [numbers.len()];
        let dims = if numbers.len() == 1 { &[][..] } else { &dims };
        self.full(name, "Const", &[], &[("value", tensor(3, dims, &content))]);
    }

    pub(crate) fn convolution(&mut self, name: &str, of: [&str; 2], stride: u64, padding: &str) {
        let attributes = [
            ("strides", list(&[1, stride, stride, 1])),
            ("dilations", list(&[1; 4])),
            ("padding", said(padding)),
            ("data_format", said("NHWC")),
        ];
        self.full(name, "Conv2D", &of, &attributes);
    }

    pub(crate) fn pool(&mut self, name: &str, op: &str, of: &str, side: u64, stride: u64) {
        let attributes = [
            ("ksize", list(&[1, side, side, 1])),
            ("strides", list(&[1, stride, stride, 1])),
            ("padding", said("VALID")),
        ];
        self.full(name, op, &[of], &attributes);
    }

    pub(crate) fn normalisation(&mut self, name: &str, of: &[&str], epsilon: f32) {
        let (mut float, mut no) = (Vec::new(), Vec::new());
        varint(4 << 3 | 5, &mut float);
        float.extend_from_slice(&epsilon.to_le_bytes());
        put_number(&mut no, 5, 0);
        self.full(
            name,
            "FusedBatchNorm",
            of,
            &[("epsilon", float), ("is_training", no)],
        );
    }
}
