"""Index texts as sparse vectors in DuckDB, and search them with queries, all in one file.

    pip install 'mlmfast[serve,cpu]' duckdb
    mlmfast export splade/ onnx/ --task sparse
    python examples/sparse_search.py onnx/ eli5.jsonl.gz --query "Why is the sky blue?"

The file has a line of JSON for each question: its `title`, and its answers in `answers.text` (as
the data set eli5_category has them). The index is a table of postings, (word, document, weight), to
which the vectors go as the Arrow columns that `SparseEncoder` gives; a search is a join of the
words of a query with it. Without --query, every question searches, and the output tells how many
find one of their own answers among the first 1, 10 and 100.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

import mlmfast


def read(path: Path) -> tuple[list[str], list[str], list[int]]:
    """Return the questions, all answers, and for each answer the number of its question."""
    questions, answers, owners = [], [], []
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            entry = json.loads(line)
            questions.append(entry["title"])
            answers += entry["answers"]["text"]
            owners += [number] * len(entry["answers"]["text"])
    return questions, answers, owners


def postings(vectors: pa.StructArray) -> pa.Table:
    """Return vectors as rows: the number of the text, a word and its weight."""
    ids, weights = vectors.field("ids"), vectors.field("weights")
    return pa.table(
        {
            "text": pc.list_parent_indices(ids),
            "word": ids.flatten(),
            "weight": weights.flatten(),
        }
    )


def build(database: duckdb.DuckDBPyConnection, vectors: pa.StructArray) -> None:
    """Write the index, ordered by word, so that a query reads the rows of its own words."""
    database.register("vectors", postings(vectors))
    database.execute(
        "CREATE OR REPLACE TABLE postings AS SELECT * FROM vectors ORDER BY word, text"
    )
    database.unregister("vectors")


def search(database: duckdb.DuckDBPyConnection, queries: pa.StructArray, best: int) -> pa.Table:
    """Return the texts with the largest inner products: columns query, text, score, place."""
    database.register("queries", postings(queries))
    found = database.sql(
        """
        SELECT query, text, score, place FROM (
            SELECT *, row_number() OVER (PARTITION BY query ORDER BY score DESC, text) AS place
            FROM (
                SELECT q.text AS query, p.text AS text, sum(q.weight * p.weight) AS score
                FROM queries q JOIN postings p ON q.word = p.word
                GROUP BY q.text, p.text
            )
        )
        WHERE place <= $best ORDER BY query, place
        """,
        params={"best": best},
    ).to_arrow_table()
    database.unregister("queries")
    return found


def first_own_answers(found: pa.Table, owners: list[int], count: int) -> list[int | None]:
    """Return at which place each question finds the first of its own answers; None: nowhere."""
    places: list[int | None] = [None] * count
    rows = zip(*(found[name].to_pylist() for name in ("query", "text", "place")), strict=True)
    for query, text, place in rows:
        if owners[text] == query and places[query] is None:
            places[query] = place
    return places


def main() -> None:
    """Index the answers, and search them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="ONNX folder with sparse.onnx")
    parser.add_argument("file", type=Path, help="JSON lines, also in gzip")
    parser.add_argument("--query", help="search for this, instead of for every question")
    parser.add_argument("--index", default=":memory:", help="file of the index")
    parser.add_argument("--top-k", type=int, help="heaviest words of a text to index")
    parser.add_argument("--limit", type=int, help="questions to read")
    options = parser.parse_args()

    questions, answers, owners = read(options.file)
    if options.limit is not None:
        questions = questions[: options.limit]
        answers = answers[: sum(owner < options.limit for owner in owners)]
    encoder = mlmfast.SparseEncoder(options.model)
    with duckdb.connect(options.index) as database:
        started = time.perf_counter()
        build(database, encoder(answers, top_k=options.top_k, returns="arrow"))
        seconds = time.perf_counter() - started
        [(rows,)] = database.execute("SELECT count(*) FROM postings").fetchall()
        print(f"{len(answers):,} answers with {rows:,} words indexed in {seconds:.1f} s")
        if options.query is not None:
            query = encoder.encode_query([options.query], returns="arrow")
            for row in search(database, query, 3).to_pylist():
                print(f"\n{row['score']:.2f}  {questions[owners[row['text']]]}")
                print("      " + " ".join(answers[row["text"]].split())[:200])
            return
        started = time.perf_counter()
        found = search(database, encoder.encode_query(questions, returns="arrow"), 100)
        seconds = time.perf_counter() - started
        print(f"{len(questions):,} questions searched in {seconds:.1f} s")
    places = first_own_answers(found, owners, len(questions))
    answered = [places[question] for question in sorted(set(owners))]
    for best in (1, 10, 100):
        share = sum(place is not None and place <= best for place in answered) / len(answered)
        print(f"{share:6.1%} find an answer of their own among the first {best}")


if __name__ == "__main__":
    main()
