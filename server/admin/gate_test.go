package admin_test

import (
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/admin"
	"github.com/davitd/davit/server/auth"
)

// Each method that needs more than the right to read is one that a drain refuses, or one of those that are listed here: who
// adds a method says so.
func TestWhatADrainRefuses(t *testing.T) {
	table, err := auth.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	letIn := map[string]bool{
		"/davit.v1.ConsoleService/OpenConsole":    true,
		"/davit.v1.ConsoleService/Exec":           true,
		"/davit.v1.HostService/ConvertDefinition": true,
		"/davit.v1.LogService/ReadLog":            true,
		"/davit.v1.LogService/ListLogs":           true,
		"/davit.v1.AuditService/ReadAudit":        true,
		"/davit.v1.AdminService/GetDaemon":        true,
		"/davit.v1.AdminService/GetMetrics":       true,
		"/davit.v1.AdminService/SetLogLevel":      true,
		"/davit.v1.AdminService/ListClients":      true,
		"/davit.v1.AdminService/DisconnectClient": true,
		"/davit.v1.AdminService/Drain":            true,
		"/davit.v1.AdminService/Undrain":          true,
	}
	gate := admin.NewGate(table)
	for method, access := range table {
		want := access != davitv1.Access_ACCESS_READ && !letIn[method]
		if got := gate.Changes(method); got != want {
			t.Errorf("%s changes something: %v, want %v", method, got, want)
		}
		delete(letIn, method)
	}
	if len(letIn) > 0 {
		t.Errorf("there are no methods %v", letIn)
	}
	if !gate.Changes("/davit.v1.DomainService/NoSuchMethod") {
		t.Error("a method that is not known is let in")
	}
}
