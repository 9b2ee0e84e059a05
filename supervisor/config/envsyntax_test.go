package config

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// envText is an environment file, and what becomes of it.
type envText struct {
	name, text string
	want       []string
}

// envTexts are read by systemd 252 and 257 and by us alike: see
// TestSystemdReadsEnvironmentFilesAlike.
var envTexts = []envText{
	{"nothing", "", nil},
	{"plain", "A=1\nB=two words\n", []string{"A=1", "B=two words"}},
	{"no line end", "A=1", []string{"A=1"}},
	{"empty values", "A=\nB=\"\"\nC=''\n", []string{"A=", "B=", "C="}},
	{"blanks around", "  A = b  c  \n\tB\t=\tx\t\n", []string{"A=b  c", "B=x"}},
	{"blank lines", "\n \n\t\nA=1\n\n\n", []string{"A=1"}},
	{"comments", "# c\n; c\n  # c\nA=1 # not\nB=a;b\nC=#x\n;D=1\n", []string{"A=1 # not", "B=a;b", "C=#x"}},
	{"comment at the end", "A=1\n# c", []string{"A=1"}},
	{"single quotes", "A='a b'\nB='it\\'s\nC=' x '\nD='a \\n $x \"q\" # y'\n", []string{"A=a b", "B=it\\s", "C= x ", "D=a \\n $x \"q\" # y"}},
	{"double quotes", "A=\"a b\"\nB=\"a\\\"b\\\\c\\$d\\`e\\nf\"\nC=\" 'x' \"\n", []string{"A=a b", "B=a\"b\\c$d`e\\nf", "C= 'x' "}},
	{"line ends in quotes", "A=\"a\nb\"\nB='c\nd'\nC=\"a\\\nb\"\nD='a\\\nb'\n", []string{"A=a\nb", "B=c\nd", "C=ab", "D=a\\\nb"}},
	{"continued lines", "A=a\\\nb\nB=a \\\n  b  \nC=a  \\\n\nD=1\n", []string{"A=ab", "B=a   b", "C=a  ", "D=1"}},
	{"continued before the value", "A=\\\n  b\nB='x' \\\n  y\n", []string{"A=  b", "B=x  y"}},
	{"continued by a comment", "A=a\\\n# no comment\nB=1\n", []string{"A=a# no comment", "B=1"}},
	{"continued by nothing", "A=1\nB=x \\", []string{"A=1", "B=x "}},
	{"joined parts", "A=\"a\"'b'c\nB=\"a\" 'b' c d\nC='x'   \nD=\"x\" \\\n 'y'\n", []string{"A=abc", "B=abc d", "C=x", "D=x 'y'"}},
	{"quotes inside", "A=a\"b\"c\nB=a 'b c'\nC=\"x\" trailing \"y\nD=2\n", []string{"A=a\"b\"c", "B=a 'b c'", "C=xtrailing \"y", "D=2"}},
	{"backslashes", "A=a\\ \nB=a\\n\\t\\\\x\nC=\\'x\nD=\\\"y\nE=a\\ \\ \nF=x \\y  \nG=\\ a\nH= \\  a \n",
		[]string{"A=a ", "B=ant\\x", "C='x", "D=\"y", "E=a  ", "F=x y", "G= a", "H=  a"}},
	{"carriage returns", "A=1\r\nB=\"2\"\r\nC='a\r\nb'\r\nD=x\\\r\nE=y\r\nF=1\rG=2\rH=\"a\\\rb\"\n",
		[]string{"A=1", "B=2", "C=a\r\nb", "D=x", "E=y", "F=1", "G=2", "H=a\\\rb"}},
	{"nothing is filled in", "A=$HOME\nB=${A}\nC=\"$A\"\nD=`x`\nE=%h %%\n", []string{"A=$HOME", "B=${A}", "C=$A", "D=`x`", "E=%h %%"}},
	{"equal signs", "A==b=c\nB=a=b\n", []string{"A==b=c", "B=a=b"}},
	{"beyond ASCII", "A=é中\nB='ü'\nC=\u00a0x\u00a0\nD=\uFFFD\n", []string{"A=é中", "B=ü", "C=\u00a0x\u00a0", "D=\uFFFD"}},
	{"control characters", "A=a\x01b\nB=a\x7fb\nC=a\x1bb\nD=a\tb\nE=a\x0cb\x0b\nF=\x0cx\n", []string{"A=a\x01b", "B=a\x7fb", "C=a\x1bb", "D=a\tb", "E=a\x0cb\x0b", "F=\x0cx"}},
	{"names", "_A=1\n__=2\nA1=3\na=4\n", []string{"_A=1", "__=2", "A1=3", "a=4"}},
	{"many on a line", "A=1;B=2\nC=3 D=4\n", []string{"A=1;B=2", "C=3 D=4"}},
	{"long", "A=" + strings.Repeat("x", 70000) + "\n", []string{"A=" + strings.Repeat("x", 70000)}},
}

func TestEnvironmentFilesAreReadAsSystemdReadsThem(t *testing.T) {
	for _, tt := range envTexts {
		if got, err := parseEnvFile(tt.text); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// Systemd 252 took the line behind such a comment for a part of it.
func TestCommentsAreNotContinued(t *testing.T) {
	if got, err := parseEnvFile("# c \\\nA=1\n"); err != nil || !slices.Equal(got, []string{"A=1"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// refusedTexts are errors; want is what systemd makes of them.
var refusedTexts = []struct {
	envText
	err string
}{
	{envText{"export", "A=1\nexport B=2\n", []string{"A=1"}}, "line 2 has no valid name before the = (letters, digits and _, no digit first; no export)"},
	{envText{"digit first", "1C=3\n", nil}, "line 1 has no valid name"},
	{envText{"hyphen", "\n\nD-E=4\n", nil}, "line 3 has no valid name"},
	{envText{"no name", "=7\n", nil}, "line 1 has no valid name"},
	{envText{"byte order mark", "\uFEFFA=1\nB=2\n", []string{"B=2"}}, "line 1 has no valid name"},
	{envText{"no equal sign", "A=1\nnothing\nB=2\n", []string{"A=1", "B=2"}}, "line 2 is no setting NAME=value"},
	{envText{"continued name", "A\\\nB=1\n", []string{"B=1"}}, "line 1 is no setting NAME=value"},
	{envText{"open double quotes", "A=1\nB=\"x\nC=3\n", []string{"A=1", "B=x\nC=3\n"}}, "line 2 begins a quotation that does not end"},
	{envText{"open single quotes", "A=1\nB='x\nC=3  ", []string{"A=1", "B=x\nC=3  "}}, "line 2 begins a quotation that does not end"},
	{envText{"open after others", "A='x\ny' \"z", []string{"A=x\nyz"}}, "line 2 begins a quotation that does not end"},
	{envText{"no UTF-8", "A=1\nB=\xff\n", nil}, "line 2 is not valid UTF-8"},
	{envText{"surrogate", "A=\xed\xa0\x80\n", nil}, "line 1 is not valid UTF-8"},
	{envText{"zero byte", "A=1\n\nB=x\x00y\n", nil}, "line 3 contains a zero byte"},
}

func TestWhatWouldGetLostInAnEnvironmentFileIsAnError(t *testing.T) {
	for _, tt := range refusedTexts {
		if _, err := parseEnvFile(tt.text); err == nil || !strings.HasPrefix(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.err)
		}
	}
}

// What quoting keeps of a value is all of it, and no text makes an error that
// holds some of it.
func FuzzEnvFile(f *testing.F) {
	for _, tt := range envTexts {
		f.Add(clip(tt.text, 500))
	}
	for _, tt := range refusedTexts {
		f.Add(tt.text)
	}
	escape := strings.NewReplacer(`"`, `\"`, `\`, `\\`, "$", `\$`, "`", "\\`")
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parseEnvFile(text)
		if err != nil && !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%q: %v", text, err)
		}
		for _, s := range settings {
			if name, _, ok := strings.Cut(s, "="); !ok || !isEnvName(name) || strings.ContainsRune(s, 0) {
				t.Errorf("%q makes the setting %q", text, s)
			}
		}
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return
		}
		again, err := parseEnvFile("A=\"" + escape.Replace(text) + "\"\nB=1")
		if want := []string{"A=" + text, "B=1"}; err != nil || !slices.Equal(again, want) {
			t.Errorf("in quotes %q became %q, %v", text, again, err)
		}
	})
}
