package httpadapter_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
)

// Handlers know how long after the trigger their request came. The request keeps what
// net/http and a ServeMux write into it: the pattern counts, and uploads leave no file.
func TestLate(t *testing.T) {
	for _, how := range []string{h1, h2c} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("TMPDIR", dir)
			bubble(t, func(t *testing.T) {
				n := memory()
				mux := http.NewServeMux()
				mux.HandleFunc("POST /upload", func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(time.Second)
					if err := r.ParseMultipartForm(1); err != nil {
						t.Error(err)
					}
					if files, err := os.ReadDir(dir); err != nil || len(files) == 0 {
						t.Errorf("%d files, %v: the upload is not in one", len(files), err)
					}
					after, share, ok := lastcall.Late(r.Context())
					_, _ = fmt.Fprint(w, after, share, ok)
				})
				l := begin(t, n, setup{handler: mux.ServeHTTP, budget: lastcall.Budget{Total: 20 * time.Second, Settle: 10 * time.Second, Reserve: 2 * time.Second}})
				c := n.client(t, how)
				upload := func() <-chan answer {
					var body bytes.Buffer
					form := multipart.NewWriter(&body)
					file, err := form.CreateFormFile("f", "f")
					if err == nil {
						_, err = file.Write(make([]byte, 1<<10))
					}
					if err != nil {
						t.Fatal(err)
					}
					form.Close()
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.base+"/upload", &body)
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Content-Type", form.FormDataContentType())
					came := make(chan answer, 1)
					go func() {
						res, err := c.Do(req)
						if err != nil {
							came <- answer{err: err}
							return
						}
						defer res.Body.Close()
						text, err := io.ReadAll(res.Body)
						came <- answer{body: string(text), err: err}
					}()
					return came
				}
				first := upload()
				time.Sleep(500 * time.Millisecond)
				l.trigger()
				if a := <-first; a.body != "0s 0 false" || a.err != nil {
					t.Errorf("before the trigger: %+v", a)
				}
				time.Sleep(time.Second)
				if a := <-upload(); a.body != "1.5s 0.075 true" || a.err != nil {
					t.Errorf("late: %+v", a)
				}
				wantDrained(t, l.report(t))
				if w := work(l.last, "POST /upload"); w.Before != 1 || w.Arrived != 1 {
					t.Errorf("%+v in\n%v", w, l.last)
				}
				if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
					t.Errorf("%d files are left, %v", len(files), err)
				}
			})
		})
	}
}
