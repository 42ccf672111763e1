"""Words as bash makes them: every expected list below is what bash 5 itself passes to the program."""

import pytest

from rldoctor import sources


def argv(script):
    """Return the arguments of each ``prog -- …`` that the script runs."""
    document = sources.read_text(script, "launch.sh", "shell")
    assert len(document.worlds) == 1
    commands = document.worlds[0]
    return [list(command.positional) for command in commands if command.program == "prog"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("A=1; prog -- $A \"$A\" '$A' \\$A", ["1", "1", "$A", "$A"]),
        ('A="a  b"; prog -- $A "$A" x$A"y"', ["a", "b", "a  b", "xa", "by"]),
        ('A=; prog -- $A "" "$A" x', ["", "", "x"]),
        (
            r'''prog -- 'it'"'"'s' "a\"b" "a\$b" "a\nb" a\ b 'a\nb' "a\\b"''',
            ["it's", 'a"b', "a$b", "a\\nb", "a b", "a\\nb", "a\\b"],
        ),
        (r"prog -- $'a\nb\x41\101\''", ["a\nbAA'"]),
        ('prog -- "a"\'b\'c"d" "two\nlines"', ["abcd", "two\nlines"]),
        ("A=a.b; prog -- x=$A.c \"y=$A\" 'z='$A", ["x=a.b.c", "y=a.b", "z=a.b"]),
        ('A="1\n 2 3 \\\n 4\n"; prog -- $A', ["1", "2", "3", "4"]),
        ("A=x; A+=y; A=${A}0; prog -- $A", ["xy0"]),
        ("prog -- a \\\n   b \\\n   c # comment", ["a", "b", "c"]),
        ("prog -- 2>&1 a > /dev/null b", ["a", "b"]),
    ],
)
def test_quotes_splitting_and_joining(script, words):
    assert argv(script) == [words]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "prog -- {a,b}c {1..3} {01..03} x{,y} {a} {1..10..3} {a,{b,c}}d",
            [
                "ac",
                "bc",
                "1",
                "2",
                "3",
                "01",
                "02",
                "03",
                "x",
                "xy",
                "{a}",
                "1",
                "4",
                "7",
                "10",
                "ad",
                "bd",
                "cd",
            ],
        ),
        ("prog -- d={a:1,b:2} 'd={a:1,b:2}' \"{a,b}\"", ["d=a:1", "d=b:2", "d={a:1,b:2}", "{a,b}"]),
        ("X={a,b}; prog -- $X", ["{a,b}"]),
        ("N=3; prog -- [0]*1+[1]*${N}", ["[0]*1+[1]*3"]),
        ("prog -- bs=[1,2] 'c=[x, y]' data=/d/*.parquet", ["bs=[1,2]", "c=[x, y]", "data=/d/*.parquet"]),
    ],
)
def test_braces_and_brackets(script, words):
    assert argv(script) == [words]


@pytest.mark.parametrize(
    ("expansion", "words"),
    [
        ("${A:1} ${A:1:2} ${A: -2} ${A:0:-1} ${#A}", ["ELLo", "EL", "Lo", "hELL", "5"]),
        ("${A,,} ${A,} ${A^^} ${A^}", ["hello", "hELLo", "HELLO", "HELLo"]),
        (
            "${P##*/} ${P#*/} ${P%.*} ${P%%.*} ${P%/*}",
            ["z.tar.gz", "x/y/z.tar.gz", "/x/y/z.tar", "/x/y/z", "/x/y"],
        ),
        (
            "${P/y/Q} ${P//\\//_} ${P/%gz/zz} ${P//[xyz]/-}",
            ["/x/Q/z.tar.gz", "_x_y_z.tar.gz", "/x/y/z.tar.zz", "/-/-/-.tar.g-"],
        ),
        ('${U:-d} "${U:-d e}" ${U:-d e} ${U:+x} "${U:+x}"', ["d", "d e", "d", "e", ""]),
        ('${E:-d} ${E-d} "${E-d}" ${E+x}', ["d", "", "x"]),
        ('${U:=q} $U "${U:-$(echo d)}" ${V:-${W:-deep}}', ["q", "q", "q", "deep"]),
        ('${A:+--flag "$A"} ${E:+--no "$E"} ${!N}', ["--flag", "hELLo", "hELLo"]),
    ],
)
def test_parameter_operators(expansion, words):
    assert argv(f"A=hELLo; P=/x/y/z.tar.gz; E=; N=A\nprog -- {expansion}") == [words]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            'X=(a "b c" d); prog -- "${X[@]}" ${X[@]} "${X[*]}"',
            ["a", "b c", "d", "a", "b", "c", "d", "a b c d"],
        ),
        (
            'X=(a "b c" d); prog -- "${X[1]}" ${#X[@]} $X ${X[-1]} "${X[@]:1}" "p${X[@]}q"',
            ["b c", "3", "a", "d", "b c", "d", "pa", "b c", "dq"],
        ),
        ('X=(a); X+=(b c); X[1]=Q; prog -- "${X[@]}"', ["a", "Q", "c"]),
        ('X=(); prog -- "${X[@]}" ${X[@]} "a${X[@]}b" end', ["ab", "end"]),
        ('X=(1\n # note\n 2  # more\n "3 4"); prog -- "${X[@]}"', ["1", "2", "3 4"]),
        ('X=(a=1 "c d"); prog -- "${X[@]/#/p_}"', ["p_a=1", "p_c d"]),
        ('declare -A M=([a]=1 [b]=2); M[c]=3; prog -- ${M[a]} "${M[b]}" ${M[c]}', ["1", "2", "3"]),
        ('A="x y"; B=($A "$A"); prog -- "${B[@]}" ${#B[@]}', ["x", "y", "x y", "3"]),
        (
            'set -- p "q r" s; prog -- "$@" $# "$2" ${@:2} "${@:2:1}"',
            ["p", "q r", "s", "3", "q r", "q", "r", "s", "q r"],
        ),
        ('IFS=, read -ra X <<< a,b,c; prog -- "${X[@]}"', ["a", "b", "c"]),
        ("X=(1 2); printf -v F '[%s]' \"$(IFS=', '; echo \"${X[*]}\")\"; prog -- $F", ["[1,2]"]),
    ],
)
def test_arrays(script, words):
    assert argv(script) == [words]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1+2*3", "7"),
        ("(1+2)*3", "9"),
        ("7/2", "3"),
        ("-7/2", "-3"),
        ("-7%3", "-1"),
        ("2**10", "1024"),
        ("5>3", "1"),
        ("1?2:3", "2"),
        ("0x10", "16"),
        ("010", "8"),
        ("3&1|4^1", "5"),
        ("A*2", "10"),
        ("B+1", "6"),
        ("A+=3", "8"),
        ("10#08+1", "9"),
        ("A>4&&A<6", "1"),
        ("max_len/1024", "2"),
    ],
)
def test_arithmetic(expression, value):
    assert argv(f"A=5; B=A; max_len=2048; prog -- $(({expression}))") == [[value]]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('prog -- $(seq 1 3) $(seq -s, 1 4) "$(seq 2)" `echo x`', ["1", "2", "3", "1,2,3,4", "1\n2", "x"]),
        ("prog -- $(dirname /a/b/c) $(basename /a/b/c.txt .txt)", ["/a/b", "c"]),
        ('F() { local a=in; echo "$a-$1"; }; a=out; prog -- "$(F "y z")" $a', ["in-y z", "out"]),
        ('N=3; X=$(for i in $(seq $N); do echo -n "$i,"; done); prog -- $X', ["1,2,3,"]),
        ("A=$(cat <<'EOF'\nplain $text\nEOF\n); prog -- \"$A\"", ["plain $text"]),
        ("read -r -d '' A <<'EOF'\n{\"a\": 1}\nEOF\nprog -- \"$A\"", ['{"a": 1}']),
        ("A=$(cd /usr && pwd); prog -- $A", ["/usr"]),
    ],
)
def test_pure_substitutions(script, words):
    assert argv(script) == [words]


@pytest.mark.parametrize(
    ("script", "calls"),
    [
        ("for i in 1 2; do prog -- $i; done; prog -- end $i", [["1"], ["2"], ["end", "2"]]),
        ('for ((i=0;i<3;i++)); do X+=($i); done; prog -- "${X[@]}"', [["0", "1", "2"]]),
        ("i=0; while [ $i -lt 3 ]; do i=$((i+1)); done; prog -- $i", [["3"]]),
        ("A=b; case $A in a) prog -- A;; b|c) prog -- BC;; *) prog -- no;; esac", [["BC"]]),
        ("A=8b; case $A in [0-9]*) prog -- n;; esac; [[ $A =~ ^[0-9]b$ ]] && prog -- m", [["n"], ["m"]]),
        ("A=1; if [[ $A -gt 0 && $A != 2 || x == y ]]; then prog -- y; fi", [["y"]]),
        ("true && prog -- t; false || prog -- f; true || prog -- no", [["t"], ["f"]]),
        ("f() { return 1; }; if f; then prog -- y; else prog -- n; fi", [["n"]]),
        ("(A=2; prog -- $A); prog -- ${A:-none}", [["2"], ["none"]]),
        ("bash -c 'prog -- \"$0\" $1' n m", [["n", "m"]]),
        ('A=\'--a "2 3"\'; eval "prog -- $A"', [["--a", "2 3"]]),
        ("cat <<EOF | tee x && prog -- after\ntext\nEOF", [["after"]]),
    ],
)
def test_control_flow(script, calls):
    assert argv(script) == calls


def test_a_command_ends_with_its_line_where_the_parser_reads_on():
    function = "f() {\nprog -- a \\\n    $@\n}\n"
    script = function + "E=/x\nprog -- $E/b.json\n# note\nf c $@ 2>&1 | tee z\nprog -- d\n"
    assert argv(script) == [["/x/b.json"], ["a", "c"], ["d"]]


def test_arguments_after_a_here_document_count():
    assert argv("prog -- a <<EOF b\ntext\nEOF\n") == [["a", "b"]]
