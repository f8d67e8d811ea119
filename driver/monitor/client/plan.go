package client

import (
	"context"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Plan asks for the plan of the boots that follow: that of the start, with the changes that were made by [Monitor.Revise]. Whoever
// does not know how far a change came learns it from that. A monitor of a davit that does not know it refuses with kind INVALID.
func (m *Monitor) Plan(ctx context.Context) (*monitorv1.Plan, error) {
	request := &monitorv1.MonitorRequest{Request: &monitorv1.MonitorRequest_GetPlan{GetPlan: &monitorv1.GetPlan{}}}
	response, descriptors, err := m.call(ctx, request)
	if err != nil {
		return nil, err
	}
	descriptors.Close()
	return response.GetPlan(), nil
}
