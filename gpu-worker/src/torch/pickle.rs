//! The steps of which `torch.save` makes a table of tensors (Python's pickle,
//! protocol 2), and no others. Nothing named in a pickle is called: of the four
//! names that are known, each stands for a value of its own kind.

use std::collections::HashMap;
use std::rc::Rc;

use super::TorchError;

/// What a tensor's storage holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// f32, little-endian.
    Float,
    /// i64, little-endian.
    Long,
}

/// Where a tensor's numbers stand, row-major without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor<'a> {
    pub(super) storage: &'a str,
    pub(super) kind: Kind,
    /// First number, counted in numbers.
    pub(super) offset: usize,
    pub(super) dims: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Value<'a> {
    Mark,
    Integer(usize),
    Text(&'a str),
    False,
    /// Its depth is bounded, so that letting go of it is too.
    Tuple(Rc<Vec<Value<'a>>>, u8),
    RebuildTensor,
    OrderedDict,
    Kind(Kind),
    Storage(&'a str, Kind),
    Tensor(Rc<Tensor<'a>>),
    /// An empty dictionary: the table itself, or a tensor's hooks.
    Dictionary,
}

const DEPTH_MAX: u8 = 4;

/// The table's tensors with their names, in its order.
pub(super) fn tensors(pickle: &[u8]) -> Result<Vec<(&str, Tensor<'_>)>, TorchError> {
    let mut machine = Machine {
        rest: pickle,
        stack: Vec::new(),
        memo: HashMap::new(),
        table: Vec::new(),
    };
    while machine.step()? {}
    Ok(machine.table)
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value<'a>>,
    memo: HashMap<usize, Value<'a>>,
    table: Vec<(&'a str, Tensor<'a>)>,
}

fn wrong(problem: impl Into<String>) -> TorchError {
    TorchError::Pickle(problem.into())
}

impl<'a> Machine<'a> {
    /// One step; false at the end.
    fn step(&mut self) -> Result<bool, TorchError> {
        let code = self.take(1)?[0];
        let value = match code {
            b'.' => return Ok(false),
            0x80 if self.number(1)? == 2 => return Ok(true), // PROTO
            b'q' => return self.memorise(1),
            b'r' => return self.memorise(4),
            b'u' => return self.set_items(),
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'(' => Value::Mark,
            b'}' => Value::Dictionary,
            b')' => Value::Tuple(Rc::default(), 1),
            b't' => self.tuple_from_mark()?,
            0x85..=0x87 => self.tuple_of(usize::from(code - 0x84))?,
            0x89 => Value::False,
            b'K' => Value::Integer(self.number(1)?),
            b'M' => Value::Integer(self.number(2)?),
            b'J' => Value::Integer(self.number(4)?),
            b'X' => self.text()?,
            b'c' => self.name()?,
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            _ => return Err(wrong(format!("step {code:#04x} is not known"))),
        };
        self.stack.push(value);
        Ok(true)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], TorchError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| wrong("its table ends too soon"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, TorchError> {
        let digits = self.take(bytes)?.iter().rev();
        Ok(digits.fold(0, |number, digit| number << 8 | usize::from(*digit)))
    }

    fn pop(&mut self) -> Result<Value<'a>, TorchError> {
        self.stack.pop().ok_or_else(|| wrong("a value is missing"))
    }

    fn memorise(&mut self, bytes: usize) -> Result<bool, TorchError> {
        let place = self.number(bytes)?;
        let value = self.stack.last().cloned();
        let value = value.ok_or_else(|| wrong("a value is missing"))?;
        self.memo.insert(place, value);
        Ok(true)
    }

    fn recall(&mut self, bytes: usize) -> Result<Value<'a>, TorchError> {
        let place = self.number(bytes)?;
        let value = self.memo.get(&place).cloned();
        value.ok_or_else(|| wrong("a value is recalled that was not kept"))
    }

    fn text(&mut self) -> Result<Value<'a>, TorchError> {
        let length = self.number(4)?;
        let text = std::str::from_utf8(self.take(length)?);
        Ok(Value::Text(text.map_err(|_| wrong("a text is not UTF-8"))?))
    }

    fn line(&mut self) -> Result<&'a [u8], TorchError> {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.ok_or_else(|| wrong("a name without an end"))?)?;
        self.take(1)?;
        Ok(line)
    }

    fn name(&mut self) -> Result<Value<'a>, TorchError> {
        match (self.line()?, self.line()?) {
            (b"torch._utils", b"_rebuild_tensor_v2") => Ok(Value::RebuildTensor),
            (b"collections", b"OrderedDict") => Ok(Value::OrderedDict),
            (b"torch", b"FloatStorage") => Ok(Value::Kind(Kind::Float)),
            (b"torch", b"LongStorage") => Ok(Value::Kind(Kind::Long)),
            (module, name) => Err(wrong(format!(
                "it names {}.{}",
                module.escape_ascii(),
                name.escape_ascii()
            ))),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value<'a>>, TorchError> {
        let mark = self
            .stack
            .iter()
            .rposition(|value| matches!(value, Value::Mark));
        let mark = mark.ok_or_else(|| wrong("a mark is missing"))?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn tuple_from_mark(&mut self) -> Result<Value<'a>, TorchError> {
        let values = self.since_mark()?;
        tuple(values)
    }

    fn tuple_of(&mut self, length: usize) -> Result<Value<'a>, TorchError> {
        let start = self.stack.len().checked_sub(length);
        let start = start.ok_or_else(|| wrong("a value is missing"))?;
        tuple(self.stack.split_off(start))
    }

    /// `('storage', kind, key, device, count)`, a name that only this format knows.
    fn storage(&mut self) -> Result<Value<'a>, TorchError> {
        if let Value::Tuple(values, _) = self.pop()?
            && let [
                Value::Text("storage"),
                Value::Kind(kind),
                Value::Text(key),
                Value::Text(_),
                Value::Integer(_),
            ] = values.as_slice()
        {
            return Ok(Value::Storage(key, *kind));
        }
        Err(wrong("a storage is not described as one"))
    }

    fn reduce(&mut self) -> Result<Value<'a>, TorchError> {
        let Value::Tuple(arguments, _) = self.pop()? else {
            return Err(wrong("arguments are no tuple"));
        };
        match (self.pop()?, arguments.as_slice()) {
            (Value::OrderedDict, []) => Ok(Value::Dictionary),
            (
                Value::RebuildTensor,
                [
                    Value::Storage(storage, kind),
                    Value::Integer(offset),
                    Value::Tuple(dims, _),
                    Value::Tuple(strides, _),
                    Value::False,
                    Value::Dictionary,
                ],
            ) => {
                let (dims, strides) = (integers(dims)?, integers(strides)?);
                if strides != gapless(&dims)? {
                    return Err(wrong("a tensor has gaps or is turned"));
                }
                Ok(Value::Tensor(Rc::new(Tensor {
                    storage,
                    kind: *kind,
                    offset: *offset,
                    dims,
                })))
            }
            _ => Err(wrong("something is built that is no tensor")),
        }
    }

    fn set_items(&mut self) -> Result<bool, TorchError> {
        let items = self.since_mark()?;
        if !matches!(self.stack.as_slice(), [Value::Dictionary]) || items.len() % 2 != 0 {
            return Err(wrong("entries do not belong to the one table"));
        }
        for pair in items.as_chunks::<2>().0 {
            let [Value::Text(name), Value::Tensor(tensor)] = pair else {
                return Err(wrong("an entry is no tensor with a name"));
            };
            self.table.push((name, Tensor::clone(tensor)));
        }
        Ok(true)
    }
}

fn tuple(values: Vec<Value<'_>>) -> Result<Value<'_>, TorchError> {
    let depth = values.iter().map(|value| match value {
        Value::Tuple(_, depth) => *depth,
        _ => 0,
    });
    match depth.max().unwrap_or_default() + 1 {
        depth if depth <= DEPTH_MAX => Ok(Value::Tuple(Rc::new(values), depth)),
        _ => Err(wrong("tuples stand too deep in one another")),
    }
}

fn integers(values: &[Value<'_>]) -> Result<Vec<usize>, TorchError> {
    let integer = |value: &Value<'_>| match value {
        Value::Integer(number) => Ok(*number),
        _ => Err(wrong("a shape that is not of numbers")),
    };
    values.iter().map(integer).collect()
}

/// Strides of a row-major tensor without gaps.
fn gapless(dims: &[usize]) -> Result<Vec<usize>, TorchError> {
    let mut strides = vec![1usize; dims.len()];
    for at in (1..dims.len()).rev() {
        let stride = strides[at].checked_mul(dims[at]);
        strides[at - 1] = stride.ok_or_else(|| wrong("a shape is too large"))?;
    }
    Ok(strides)
}
