package source
import ("testing";"time")
func TestDump(t *testing.T) {
	start := time.Now()
	m, u, err := Find("./testdata/idioms/...")
	t.Log(time.Since(start), err)
	for _, m := range m { t.Logf("%+v", m) }
	for _, m := range u { t.Logf("%v", m) }
	_, _, err = Find("./testdata/broken", "./nope")
	t.Log(err)
	_, _, err = Find("./testdata/broken")
	t.Log(err)
	_, _, err = Find("no.such/pkg")
	t.Log(err)
}
