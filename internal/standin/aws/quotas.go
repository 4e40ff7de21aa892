package aws

import (
	"github.com/aws/aws-sdk-go-v2/service/servicequotas/types"

	"github.com/hopwise/hopwise/internal/facts"
)

var quotaOps = map[string]op{
	"GetServiceQuota":           {run: getServiceQuota, needs: []string{"ServiceCode", "QuotaCode"}, takes: []string{"ContextId"}},
	"GetAWSDefaultServiceQuota": {run: getDefaultQuota, needs: []string{"ServiceCode", "QuotaCode"}},
}

// A quota is a value that AWS gives every account.
type quota struct {
	service, code, name string
	value               float64
}

// defaultQuotas are from "Amazon VPC quotas" (VPC user guide).
var defaultQuotas = []quota{
	{"vpc", "L-0EA8095F", "Inbound or outbound rules per security group", 60},
	{"vpc", "L-2AFB9258", "Security groups per network interface", 5},
	{"vpc", "L-DF5E4CA3", "Network interfaces per Region", 5000},
}

// getServiceQuota tells the value of the account. One that the world does not
// state was never applied.
func getServiceQuota(c *call) (answer, error) {
	quotas, err := list[types.ServiceQuota](c, facts.Quotas.Kind())
	if err != nil {
		return nil, err
	}
	service, code := c.params.at("ServiceCode").value, c.params.at("QuotaCode").value
	for _, q := range quotas {
		if str(q.ServiceCode) == service && str(q.QuotaCode) == code {
			return answer{{"Quota", q}}, nil
		}
	}
	return nil, noQuota()
}

func getDefaultQuota(c *call) (answer, error) {
	service, code := c.params.at("ServiceCode").value, c.params.at("QuotaCode").value
	for _, q := range defaultQuotas {
		if q.service == service && q.code == code {
			return answer{{"Quota", types.ServiceQuota{ServiceCode: &q.service, QuotaCode: &q.code, QuotaName: &q.name, Value: &q.value, Adjustable: true}}}, nil
		}
	}
	return nil, noQuota()
}

func noQuota() error {
	return bad("NoSuchResourceException", "The request failed because the specified service quota does not exist.")
}
