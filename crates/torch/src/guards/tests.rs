//! Guards as Python reads them, and texts that are none.

use super::{GuardPlace, conditions};
use opledger_dims::Poly;

fn read(guard: &str) -> Option<String> {
    let size = |place: &GuardPlace<'_>| {
        let (path, dim) = match place {
            GuardPlace::Input(path, dim) => (path, (*dim)?),
            GuardPlace::Symbol(name) => return (*name == "s7").then(|| Poly::from("b")),
        };
        let dims = match &path[..] {
            ["x"] => ["b", "n", "m"],
            ["kw", "q"] | ["xs", "1"] | ["data", "ids"] => ["u", "v", "w"],
            _ => return None,
        };
        dims.get(dim).copied().map(Poly::from)
    };
    let all = conditions(guard, &size)?;
    Some(all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

#[test]
fn guards_are_read_as_python_reads_them() {
    let x = "L['x'].size()";
    for (guard, told) in [
        (format!("{x}[0] == {x}[1]"), "b = n"),
        (format!("({x}[0] % (4*{x}[1])) != 0"), "b mod 4·n ≠ 0"),
        (format!("((32*{x}[0]) % {x}[1]) == 0"), "32·b mod n = 0"),
        (format!("{x}[1] // 4 <= 12"), "⌊n / 4⌋ ≤ 12"),
        (format!("((-2) + {x}[1]) > 3*({x}[0] - 1)"), "n - 2 > 3·b - 3"),
        (format!("2*{x}[0] % 4 * 3 < 8"), "(2·b mod 4)·3 < 8"),
        (format!("{x}[0] > 5 and {x}[1] < 70"), "b > 5; n < 70"),
        (format!("({x}[0] > 5) or ({x}[1] < 70) or {x}[2] == 1"), "b > 5 or n < 70 or m = 1"),
        (format!("not ({x}[0] > 5)"), "b ≤ 5"),
        (format!("not ({x}[0] == 5 and {x}[1] >= 7)"), "b ≠ 5 or n < 7"),
        (format!("not ({x}[0] == 5 or {x}[1] <= 7)"), "b ≠ 5; n > 7"),
        (format!("({x}[0] == 5 and {x}[1] == 7) or {x}[2] == 1"), "b = 5 or m = 1; n = 7 or m = 1"),
        (format!("torch.sym_min({x}[0], {x}[1]) > 4"), "min(b, n) > 4"),
        (format!("2*torch.sym_max({x}[0], {x}[1] - 3) < 9"), "2·max(b, n - 3) < 9"),
        (format!("torch.sym_max(1, {x}[1] // 2) != {x}[0]"), "⌊n / 2⌋ ≠ b"),
        ("L['kw']['q'].size()[0] == L['xs'][1].size()[1]".into(), "u = v"),
        ("L['data'].ids.size()[2] ** 2 < 8".into(), "w² < 8"),
        (format!("math.trunc(0.5*torch.sym_float({x}[1])) == 3"), "⌊n / 2⌋ = 3"),
        ("4*s7 <= 12".into(), "4·b ≤ 12"),
        (format!("math.ceil({x}[1] / 4) == 3"), "⌊(n + 3) / 4⌋ = 3"),
        (format!("math.ceil((({x}[1] / 3) / 1.0)) == 3"), "⌊(n + 2) / 3⌋ = 3"),
        (format!("{x}[1] == math.ceil(((torch.sym_float({x}[1])) / 0.5))"), "n = 2·n"),
        (format!("({x}[1] / 2) > 3.0"), "n > 6"),
        (format!("round({x}[1] / 3) != 1"), "⌊(2·n + 3) / 6⌋ ≠ 1"),
        (format!("({x}[1] / 4) + 0.5 < {x}[0] / 6"), "3·n + 6 < 2·b"),
        (format!("math.trunc({x}[1] / {x}[0]) < 3"), "⌊n / b⌋ < 3"),
        (format!("{x}[0] / -2 > 3"), "-b > 6"),
        (format!("math.ceil((((-1)*torch.sym_float({x}[1])) - {x}[1]) / (-1.0)) != 9"), "2·n ≠ 9"),
    ] {
        assert_eq!(read(&guard).as_deref(), Some(told), "{guard}");
    }
}

#[test]
fn what_is_not_understood_is_no_condition() {
    let deep = format!("{}1 == 1", "(".repeat(100_000));
    for guard in [
        "",
        "L['x'].size()[0]",
        "L['y'].size()[0] == 3",
        "L['x']['y'].size()[0] == 3",
        "L['x'].size()[99999999999999999999] == 3",
        "L['x'].size()[0] == 3 or True",
        "L['x'].size()[0] / L['x'].size()[1] > 3",
        "L['x'].size()[0] / 0 > 3",
        "round(L['x'].size()[0] / 2) > 3",
        "round(L['x'].size()[0] / L['x'].size()[1]) > 3",
        "L['x'].size()[0] == 0.1",
        "not",
        "(1 == 1",
        "1 == 1 or",
        "L['xs'][].size()[0] == 1",
        "L['x'",
        "L['x'].size()[",
        "L['x'].",
        &deep,
        &format!("{}1 == 1", "not ".repeat(100_000)),
        &format!("{}1 == 1", "not ".repeat(1000)),
        &format!("1 == 1{}", " and 1 == 1".repeat(1000)),
        &format!("{} == 1", ["(L['x'].size()[0] + L['x'].size()[1])"; 300].join("*")),
        &["(1 == 1 and 2 == 2)"; 64].join(" or "),
    ] {
        assert_eq!(read(guard), None, "{guard}");
    }
}
