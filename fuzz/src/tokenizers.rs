//! Small tokenizers of all families, as tokenizer.json.

use serde_json::{Value, json};

use crate::added::with_more_tokens;
use crate::steps::{
    choice, digits, joining_lines, metaspace, one_after_another, precompiled, prepending,
    replacing, sequence, spaces, split, splitting, squeezing, strip, words_of, xlnet,
};

/// How many pipelines [`file`] knows.
pub const PIPELINES: usize = 35;

const WORDS: &str = "the there here he re house houses house's don't 't 's ll it an and for \
    token tokens tokenization in ing un able 10 100 2026 ... -- == \" café naïve über Äpfel für fi \
    été e\u{301} \u{301} 吾輩 吾輩は猫 猫である は で あ る が ガ か\u{3099} 東京 日本 語 \
    한국 한글 가 각 \u{1100}\u{1161} ไทย ที่ हिन्दी कि क\u{93c} Tiếng Việt الله عليه وسلم \u{600} \
    👩 👩\u{200d}💻 ❤\u{fe0f} Привет мир ὀδός ΣΊΣΥΦΟΣ İstanbul straße ﬁ Ａ ① … \u{a0} \u{3000}";

/// The file of pipeline `number`, which counts modulo [`PIPELINES`].
#[must_use]
pub fn file(number: usize) -> Value {
    match number % PIPELINES {
        0 => wordpiece(true, Value::Null),
        1 => wordpiece(false, Value::Null),
        2 => wordpiece(true, json!(false)),
        3 => bpe(false, false, false),
        4 => bpe(true, false, false),
        5 => bpe(false, true, true),
        6 => bpe(false, false, true),
        7 => unigram(&[precompiled()], words_of(true)),
        8 => unigram(&[], words_of(true)),
        9 => unigram(&xlnet(), words_of(true)),
        10 => unigram(&[precompiled(), squeezing(" ")], words_of(false)),
        11 => unigram(&[json!({"type": "NFKC"}), json!({"type": "Lowercase"})], words_of(true)),
        12 => word_level(&json!({"type": "NFC"}), &[json!({"type": "Whitespace"}), digits()]),
        13 => word_level(&Value::Null, &[choice(), spaces()]),
        14 => word_level(&json!({"type": "Lowercase"}), &[split("", "Isolated")]),
        // As transformers' converters write them.
        15 => unigram(&[precompiled(), strip(false), squeezing("\u{2581}")], words_of(false)),
        16 => unigram(&[strip(false), squeezing("\u{2581}")], metaspace("never", true)),
        17 => unigram(
            &[json!({"type": "Lowercase"}), strip(true), precompiled(), squeezing(" ")],
            sequence(&[
                json!({"type": "Punctuation", "behavior": "Isolated"}),
                metaspace("always", true),
            ]),
        ),
        18 => unigram(&[squeezing(" "), json!({"type": "NFKD"}), precompiled()], words_of(false)),
        19 => unigram(&[prepending(), replacing()], Value::Null),
        20 => unigram(&[precompiled(), replacing()], metaspace("first", false)),
        // With added tokens of every kind.
        21 => with_more_tokens(wordpiece(true, Value::Null)),
        22 => with_more_tokens(bpe(true, false, false)),
        23 => with_more_tokens(bpe(false, true, false)),
        24 => with_more_tokens(unigram(&[], words_of(true))),
        25 => with_more_tokens(unigram(
            &[precompiled(), json!({"type": "Lowercase"})],
            words_of(true),
        )),
        26 => with_more_tokens(unigram(
            &[precompiled(), strip(false), squeezing("\u{2581}")],
            words_of(false),
        )),
        27 => with_more_tokens(word_level(
            &json!({"type": "Lowercase"}),
            &[json!({"type": "Whitespace"}), digits()],
        )),
        28 => split_bpe("{1,3}", false, true),
        29 => split_bpe("", true, false),
        30 => spm_bpe(&[prepending(), replacing()], Value::Null, true),
        31 => spm_bpe(&[replacing()], splitting(" ", "MergedWithPrevious"), true),
        32 => spm_bpe(&[], metaspace("first", false), false),
        33 => spm_bpe(&[replacing()], splitting("\u{2581}", "MergedWithNext"), false),
        // DeBERTa-v2's of transformers 5.
        _ => unigram(&[joining_lines(), json!({"type": "NFC"}), strip(false)], words_of(false)),
    }
}

fn words() -> impl Iterator<Item = &'static str> {
    WORDS.split(' ').filter(|word| !word.is_empty())
}

fn whole(model: &Value, normalizer: &Value, splitter: &Value, added: &[(usize, &str)]) -> Value {
    let added: Vec<_> = added
        .iter()
        .map(|&(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": content == "<mask>",
                   "rstrip": false, "normalized": content.trim().is_empty(),
                   "special": !content.trim().is_empty()})
        })
        .collect();
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
           "normalizer": normalizer, "pre_tokenizer": splitter, "post_processor": null,
           "decoder": null, "model": model})
}

/// Gives ids in order, to new tokens alone.
#[derive(Default)]
struct Vocabulary(serde_json::Map<String, Value>);

impl Vocabulary {
    fn add(&mut self, token: impl Into<String>) {
        let next = self.0.len();
        self.0.entry(token).or_insert_with(|| json!(next));
    }

    fn id(&self, token: &str) -> usize {
        usize::try_from(self.0[token].as_u64().unwrap_or(0)).unwrap_or(0)
    }
}

fn wordpiece(lowercase: bool, strip_accents: Value) -> Value {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let mut vocab = Vocabulary::default();
    special.into_iter().for_each(|token| vocab.add(token));
    let letters = (b'!'..=b'~').map(char::from).filter(|c| *c != 'q');
    for letter in letters.chain(words().flat_map(str::chars)) {
        vocab.add(letter.to_string());
        vocab.add(format!("##{letter}"));
    }
    for word in words() {
        let shorter = word.chars().take(3).collect::<String>();
        let rest: String = word.chars().skip(1).collect();
        vocab.add(word);
        vocab.add(word.to_lowercase());
        vocab.add(shorter);
        vocab.add(format!("##{rest}"));
    }
    let added = special.map(|token| (vocab.id(token), token));
    let model = json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                       "max_input_chars_per_word": 40, "vocab": vocab.0});
    let normalizer = json!({"type": "BertNormalizer", "clean_text": true,
                            "handle_chinese_chars": true, "strip_accents": strip_accents,
                            "lowercase": lowercase});
    whole(&model, &normalizer, &json!({"type": "BertPreTokenizer"}), &added)
}

fn word_level(normalizer: &Value, splitters: &[Value]) -> Value {
    let mut vocab = Vocabulary::default();
    ["[UNK]", "<s>", "<mask>"].into_iter().for_each(|token| vocab.add(token));
    words().for_each(|word| vocab.add(word));
    words().flat_map(str::chars).for_each(|letter| vocab.add(letter.to_string()));
    ["th", "er", "ther", "ere", "A", "AC", "ACGT", "G", "T", "..", " "]
        .into_iter()
        .for_each(|token| vocab.add(token));
    let added = [(1, "<s>"), (2, "<mask>")];
    let model = json!({"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab.0});
    let splitter = json!({"type": "Sequence", "pretokenizers": splitters});
    whole(&model, normalizer, &splitter, &added)
}

/// The characters that stand for bytes in byte-level BPE.
fn byte_letters() -> Vec<char> {
    let shown = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = (0x100..).filter_map(char::from_u32);
    (0..=u8::MAX)
        .filter_map(|byte| if shown(byte) { Some(char::from(byte)) } else { others.next() })
        .collect()
}

/// Add the merges that make `word` of its symbols, from the right and from the left in turn, so that
/// merges compete.
fn merge(mut word: Vec<String>, vocab: &mut Vocabulary, merges: &mut Vec<Value>) {
    while word.len() > 1 {
        let at = if word.len() % 2 == 0 { word.len() - 2 } else { 0 };
        let right = word.remove(at + 1);
        let pair = json!([word[at], right]);
        word[at] += &right;
        vocab.add(word[at].clone());
        if !merges.contains(&pair) {
            merges.push(pair);
        }
    }
}

fn bpe(prefix_space: bool, modern: bool, ignore_merges: bool) -> Value {
    let letters = byte_letters();
    let mut vocab = Vocabulary::default();
    letters.iter().for_each(|letter| vocab.add(letter.to_string()));
    let mut merges = Vec::new();
    for word in words().flat_map(|word| [format!(" {word}"), word.to_owned()]) {
        let word: Vec<_> =
            word.bytes().map(|byte| letters[usize::from(byte)].to_string()).collect();
        merge(word, &mut vocab, &mut merges);
    }
    let mut tokens = vec!["<s>", "</s>", "<mask>"];
    let spaces: Vec<String> = (2..=24).rev().map(|count| " ".repeat(count)).collect();
    if modern {
        tokens.extend(spaces.iter().map(String::as_str));
    }
    tokens.iter().for_each(|token| vocab.add(*token));
    let added: Vec<_> = tokens.iter().map(|token| (vocab.id(token), *token)).collect();
    let model = json!({"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
                       "continuing_subword_prefix": null, "end_of_word_suffix": null,
                       "byte_fallback": false, "ignore_merges": ignore_merges, "vocab": vocab.0,
                       "merges": merges});
    let normalizer = if modern { json!({"type": "NFC"}) } else { Value::Null };
    let splitter = json!({"type": "ByteLevel", "add_prefix_space": prefix_space,
                          "trim_offsets": true, "use_regex": true});
    whole(&model, &normalizer, &splitter, &added)
}

/// Byte-level BPE behind the pattern of GPT-4 and its successors, with numbers of so many `digits`.
fn split_bpe(digits: &str, nfc: bool, ignore_merges: bool) -> Value {
    let mut file = bpe(false, false, ignore_merges);
    let pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let split = json!({"type": "Split", "pattern": {"Regex": pattern.replace("DIGITS", digits)},
                       "behavior": "Isolated", "invert": false});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                       "use_regex": false});
    file["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [split, bytes]});
    if nfc {
        file["normalizer"] = json!({"type": "NFC"});
    }
    file
}

/// BPE over characters, with an unknown token for those that it lacks, or bytes.
fn spm_bpe(normalizers: &[Value], splitter: Value, bytes: bool) -> Value {
    let mut vocab = Vocabulary::default();
    ["<unk>", "<s>", "</s>", "<mask>", "\u{2581}"].into_iter().for_each(|token| vocab.add(token));
    (0..=u8::MAX).for_each(|byte| vocab.add(format!("<0x{byte:02X}>")));
    let letters = ('!'..='~').filter(|c| *c != 'q').chain(words().flat_map(str::chars));
    letters.for_each(|letter| vocab.add(letter.to_string()));
    let mut merges = vec![json!(["\u{2581}", "\u{2581}"]), json!(["\u{2581}\u{2581}", "\u{2581}"])];
    vocab.add("\u{2581}\u{2581}");
    vocab.add("\u{2581}\u{2581}\u{2581}");
    for word in words().flat_map(|word| [format!("\u{2581}{word}"), word.to_owned()]) {
        let word: Vec<_> = word.chars().map(String::from).collect();
        merge(word, &mut vocab, &mut merges);
    }
    let added = ["<s>", "</s>", "<mask>"].map(|token| (vocab.id(token), token));
    let model = json!({"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true,
                       "continuing_subword_prefix": null, "end_of_word_suffix": null,
                       "byte_fallback": bytes, "ignore_merges": false, "vocab": vocab.0,
                       "merges": merges});
    whole(&model, &one_after_another(normalizers), &splitter, &added)
}

fn unigram(normalizers: &[Value], splitter: Value) -> Value {
    let mut vocab: Vec<(String, f64)> = vec![
        ("<unk>".into(), 0.0),
        ("<s>".into(), 0.0),
        ("<mask>".into(), 0.0),
        ("\u{2581}".into(), -2.5),
        ("\u{2581}\u{2581}".into(), -4.0),
    ];
    let pieces = words().flat_map(|word| {
        let letters = word.chars().map(String::from);
        letters.chain([word.to_owned(), format!("\u{2581}{word}")]).collect::<Vec<_>>()
    });
    for piece in pieces.chain(('!'..='~').filter(|c| *c != 'q').map(String::from)) {
        if vocab.iter().all(|(known, _)| *known != piece) {
            // Quarters, so that some splits are equally good.
            let score = -f64::from(u32::try_from(vocab.len() * 7 % 52).unwrap_or(0) + 8) / 4.0;
            vocab.push((piece, score));
        }
    }
    let model = json!({"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": vocab});
    whole(&model, &one_after_another(normalizers), &splitter, &[(1, "<s>"), (2, "<mask>")])
}
