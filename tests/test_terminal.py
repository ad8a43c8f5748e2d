import io

from rich.console import Console

from vae_lightning.terminal import framed_list, plain_table, print_line

PATH = "runs/x[y]z/a[/b]c/" + "long" * 40


def test_a_line_is_printed_whole_and_is_no_markup() -> None:
    console = Console(file=io.StringIO(), width=30)
    print_line(console, PATH)
    assert console.file.getvalue() == PATH + "\n"  # type: ignore[attr-defined]


def test_a_framed_list_reads_no_markup() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(framed_list("title [of]", [("name [x]", "a[/b]c")]))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("title [of]", "name [x]", "a[/b]c"):
        assert part in printed


def test_a_plain_table_has_no_columns_yet() -> None:
    assert plain_table().columns == []
