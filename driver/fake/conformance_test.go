package fake_test

import (
	"testing"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/drivertest"
	"github.com/davitd/davit/driver/fake"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// factory gives the same value after each restart.
type factory struct{ d *fake.Driver }

func (f factory) Open(*testing.T) driver.Driver            { return f.d }
func (f factory) Complete(_ *testing.T, _ *davitv1.Domain) {}

func TestConformance(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Factory {
		t.Helper()
		d := fake.New(fake.Options{})
		t.Cleanup(func() {
			if n := d.Made(); n != 0 {
				t.Errorf("%d containers left", n)
			}
		})
		return factory{d}
	})
}
