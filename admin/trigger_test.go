package admin_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
)

// asked counts who asked for a shutdown.
type asked struct{ causes []error }

func (a *asked) ProbesReady() bool           { return len(a.causes) == 0 }
func (a *asked) State() fsm.State            { return fsm.Serving }
func (a *asked) Phase() lastcall.Phase       { return lastcall.PhaseServe }
func (a *asked) Deadline() (time.Time, bool) { return time.Time{}, false }
func (a *asked) Shutdown(cause error)        { a.causes = append(a.causes, cause) }

const secret = "correct horse battery"

// TestTriggerRules: a request that does not keep every rule is refused, and changes
// nothing.
func TestTriggerRules(t *testing.T) {
	network := netip.MustParsePrefix("10.1.0.0/16")
	for name, tt := range map[string]struct {
		rules  []admin.Rule
		method string
		host   string
		from   string
		header map[string]string
		want   int
	}{
		"loopback":                   {rules: rules(admin.Loopback()), want: 202},
		"loopback, IPv6":             {rules: rules(admin.Loopback()), host: "[::1]:9090", from: "[::1]:4711", want: 202},
		"loopback, IPv4 in IPv6":     {rules: rules(admin.Loopback()), from: "[::ffff:127.0.0.1]:4711", want: 202},
		"localhost":                  {rules: rules(admin.Loopback()), host: "localhost:9090", want: 202},
		"no port":                    {rules: rules(admin.Loopback()), host: "127.0.0.1", want: 202},
		"from elsewhere":             {rules: rules(admin.Loopback()), from: "10.1.2.3:4711", want: 403},
		"no address":                 {rules: rules(admin.Loopback()), from: "bufconn", want: 403},
		"a name that points here":    {rules: rules(admin.Loopback()), host: "evil.example:9090", want: 403},
		"a name that looks like one": {rules: rules(admin.Loopback()), host: "localhost.evil.example", want: 403},
		"GET":                        {rules: rules(admin.Loopback()), method: "GET", want: 405},
		"GET, allowed":               {rules: rules(admin.Loopback(), admin.Methods("GET")), method: "GET", want: 202},
		"POST, not allowed":          {rules: rules(admin.Loopback(), admin.Methods("GET")), want: 405},
		"a web page":                 {rules: rules(admin.Loopback()), header: map[string]string{"Origin": "http://evil.example"}, want: 403},
		"a web page that gets":       {rules: rules(admin.Loopback(), admin.Methods("GET")), method: "GET", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, want: 403},
		"token":                      {rules: rules(admin.Token(secret)), from: "10.1.2.3:4711", header: map[string]string{"Authorization": "Bearer " + secret}, want: 202},
		"token, lower case":          {rules: rules(admin.Token(secret)), header: map[string]string{"Authorization": "bearer " + secret}, want: 202},
		"no token":                   {rules: rules(admin.Token(secret)), want: 401},
		"wrong token":                {rules: rules(admin.Token(secret)), header: map[string]string{"Authorization": "Bearer " + secret + "x"}, want: 401},
		"another scheme":             {rules: rules(admin.Token(secret)), header: map[string]string{"Authorization": "Basic " + secret}, want: 401},
		"network":                    {rules: rules(admin.From(network)), from: "10.1.2.3:4711", want: 202},
		"network, IPv4 in IPv6":      {rules: rules(admin.From(network)), from: "[::ffff:10.1.2.3]:4711", want: 202},
		"network in IPv6 notation":   {rules: rules(admin.From(netip.MustParsePrefix("::ffff:10.1.0.0/112"))), from: "10.1.2.3:4711", want: 202},
		"all of IPv4, in IPv6":       {rules: rules(admin.From(netip.MustParsePrefix("::ffff:0.0.0.0/96"))), from: "10.1.2.3:4711", want: 202},
		"with a zone":                {rules: rules(admin.From(netip.MustParsePrefix("fe80::/10"))), from: "[fe80::1%eth0]:4711", want: 202},
		"another network":            {rules: rules(admin.From(network)), from: "10.2.2.3:4711", want: 403},
		"no network":                 {rules: rules(admin.From(network)), from: "", want: 403},
		"both, only the one":         {rules: rules(admin.Loopback(), admin.Token(secret)), want: 401},
		"both, only the other":       {rules: rules(admin.Loopback(), admin.Token(secret)), from: "10.1.2.3:4711", header: map[string]string{"Authorization": "Bearer " + secret}, want: 403},
	} {
		t.Run(name, func(t *testing.T) {
			ctl := &asked{}
			h, err := admin.Trigger(ctl, tt.rules...)
			if err != nil {
				t.Fatal(err)
			}
			method, host := "POST", "127.0.0.1:9090"
			if tt.method != "" {
				method = tt.method
			}
			if tt.host != "" {
				host = tt.host
			}
			r := httptest.NewRequestWithContext(t.Context(), method, "/shutdown", nil)
			r.Host, r.RemoteAddr = host, "127.0.0.1:4711"
			if tt.from != "" || name == "no network" {
				r.RemoteAddr = tt.from
			}
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%d %s, want %d", w.Code, w.Body, tt.want)
			}
			if triggered := len(ctl.causes) > 0; triggered != (tt.want == http.StatusAccepted) {
				t.Errorf("triggered: %v", triggered)
			}
			if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" || w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("headers %v", w.Header())
			}
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("the answer has the token: %s", w.Body)
			}
		})
	}
}

func rules(r ...admin.Rule) []admin.Rule { return r }

// TestTriggerErrors: rules that cannot work, or that let everybody in, are errors.
func TestTriggerErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		rules []admin.Rule
		want  string
	}{
		"nobody is named": {rules(admin.Methods("GET")), "needs a rule"},
		"no rule":         {nil, "needs a rule"},
		"nil":             {rules(nil, admin.Loopback()), "rule 1 of Trigger is nil"},
		"short token":     {rules(admin.Token("hunter2")), "7 bytes"},
		"token of a file": {rules(admin.Token(secret + "\n")), "no request can have"},
		"blank token":     {rules(admin.Token("                ")), "no request can have"},
		"no method":       {rules(admin.Loopback(), admin.Methods()), "Methods was given none"},
		"bad method":      {rules(admin.Loopback(), admin.Methods("get")), `"get"`},
		"no network":      {rules(admin.From()), "From was given no network"},
		"zero network":    {rules(admin.From(netip.Prefix{})), "is not a network"},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := admin.Trigger(&asked{}, tt.rules...)
			if err == nil || h != nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, %v; want an error with %q", h, err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error has the token: %v", err)
			}
			if err := with(admin.WithTrigger("/shutdown", tt.rules...)).Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("WithTrigger: %v, want an error with %q", err, tt.want)
			}
		})
	}
	if _, err := admin.Trigger(nil, admin.Loopback()); err == nil || !strings.Contains(err.Error(), "the controller is nil") {
		t.Errorf("nil controller: %v", err)
	}
}

// TestErrors: what is wrong with an admin server is an error of New.
func TestErrors(t *testing.T) {
	nothing := http.NotFoundHandler()
	for name, tt := range map[string]struct {
		server *admin.Server
		want   string
	}{
		"zero Server":           {&admin.Server{}, "not made by New"},
		"nil listener":          {admin.New(nil), "listener is nil"},
		"nil option":            {with(nil), "option 1 is nil"},
		"bad pattern":           {with(admin.Handle("GET", nothing)), "GET"},
		"nil handler":           {with(admin.Handle("/x", nil)), "/x"},
		"taken":                 {with(admin.Handle("/readyz", nothing)), `pattern "/readyz" would hide the probe at /readyz`},
		"hides for GET":         {with(admin.Handle("GET /readyz", nothing)), `pattern "GET /readyz" would hide the probe at /readyz`},
		"hides for HEAD":        {with(admin.Handle("HEAD  /livez", nothing)), `would hide the probe at /livez`},
		"hides for a host":      {with(admin.Handle("localhost/livez", nothing)), `would hide the probe at /livez`},
		"hides all of a host":   {with(admin.Handle("localhost/", nothing)), `pattern "localhost/" would hide the probe at /readyz`},
		"hides one of a host":   {with(admin.Handle("HEAD localhost/{name}", nothing)), `would hide the probe at /livez`},
		"not below, of a host":  {with(admin.Handle("GET localhost/debug/", nothing)), ""},
		"hides, escaped":        {with(admin.Handle("/%72eadyz", nothing)), `would hide the probe at /readyz`},
		"in flight at the root": {with(admin.WithInFlight("/")), ""},
		"trigger hides":         {with(admin.WithTrigger("POST /readyz", admin.Loopback())), `would hide the probe at /readyz`},
		"trigger for none":      {with(admin.WithTrigger("GET /shutdown", admin.Loopback())), `pattern "GET /shutdown" lets no request through whose method the trigger takes: POST; see Methods`},
		"trigger for HEAD":      {with(admin.WithTrigger("GET /shutdown", admin.Loopback(), admin.Methods("HEAD"))), ""},
		"trigger for GET":       {with(admin.WithTrigger("GET /shutdown", admin.Loopback(), admin.Methods("POST", "GET"))), ""},
		"nil mux":               {with(admin.Handle("/x", (*http.ServeMux)(nil))), `pattern "/x": the handler is nil`},
		"trigger for all":       {with(admin.WithTrigger("/shutdown")), "needs a rule"},
		"pattern that lies":     {with(admin.Handle("/readyz/", nothing)), ""},
		"wildcard":              {with(admin.Handle("/{all...}", nothing)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := controller.New(lastcall.DefaultBudget(), controller.WithSignals(), controller.WithServer("admin", tt.server))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("%v, want no error", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want an error with %q", err, tt.want)
			}
		})
	}
}

// with returns an admin server with an option.
func with(opt admin.Option) *admin.Server { return admin.New(bufconn.Listen(1), opt) }

func newController(t *testing.T) *controller.Controller {
	t.Helper()
	ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithSignals())
	if err != nil {
		t.Fatal(err)
	}
	return ctl
}
