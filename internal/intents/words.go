package intents

import (
	"regexp"
	"strings"

	"github.com/hopwise/hopwise/internal/facts"
)

// The vocabulary. All of it is matched against text that went through clean
// and mask. \b knows ASCII letters only, so an English word ends where a
// Korean particle begins: "alb에서".

// words makes one expression of alternatives.
func words(alternatives ...string) *regexp.Regexp {
	return regexp.MustCompile(strings.Join(alternatives, "|"))
}

// clauseEnd is where one statement ends and the next may say the opposite.
var clauseEnd = words(`[.!?…。]+(?:\s|$)`, `[\n;]+`, `,?\s(?:but|however|though|whereas)\s`, `지만\s`, `(?:^|\s)(?:그런데|근데|하지만|그래도)\s`)

// mask hides names, whose parts mean nothing, and what sounds like a word of
// ours but is not; it binds the "no" that belongs to a symptom to it.
func mask(text string) string {
	text = hostName.ReplaceAllStringFunc(text, func(s string) string {
		if !isHost(strings.Trim(s, ".")) {
			return s
		}
		return "HOST"
	})
	text = otherSense.ReplaceAllString(text, " ")
	return boundNo.Replace(text)
}

// otherSense are our words in another sense.
var otherSense = words(
	`\bresolv\w+ (?:this|the|that|an?|our|my|all|any)?\s?(?:merge |review )?(?:issue|incident|problem|conflict|ticket|bug|comment|thread|dispute)s?\b`,
	`\b(?:invoice|room|ticket|order|pr|issue|line|page|flight|bus|building|gate|apartment|version)\s?#?\d{3,}\b`,
	`#\d{3,}\b`,
	`\bcheck(?:ed|ing)?[ -]?(?:in|out)\b`,
	`\bhealth insurance\b`, `\bport(?:ed|ing)? (?:the|this|our) code\b`,
)

var boundNo = strings.NewReplacer("no such host", "nosuchhost", "no route to host", "noroutetohost", "no healthy", "nohealthy",
	"no endpoint", "noendpoint", "no free", "nofree", "no address", "noaddress", "no internet", "nointernet", "no ip", "noip",
	"no available ip", "nofreeip", "no connectivity", "noconnectivity", "no network connect", "noconnect", "no dns res", "nodnsres")

// symptoms make a request on their own.
var symptoms = []*regexp.Regexp{
	words(`network(?:ing)?(?:[- ]related)? (?:issue|error|problem|failure|outage|trouble)`, `connectivity`, `dns(?: resolution| lookup)? (?:failure|outage|error|issue|problem)`),
	words(`nosuchhost`, `noroutetohost`, `nohealthy (?:upstream|targets?|hosts?)`, `noendpoint`, `nofree ?ip`, `nointernet`, `noconnect`, `nodnsres`),
	words(`connection (?:was |is |gets? |got )?(?:refused|reset|timed? ?out|closed by)`, `econn(?:refused|reset)`, `etimedout`, `ehostunreach`, `\bi/o timeout`, `deadline exceeded`, `\btime[ds] out\b`, `\btiming out\b`, `(?:requests?|calls?|connections?|traffic|packets|services?|pods|probes?|lookups?) (?:[a-z-]+ ){0,4}?time ?out\b`, `^\W*time-?outs?\W*$`, `(?:read|request|connect(?:ion)?|handshake|gateway|upstream|socket|network|intermittent|random|getting|see|seeing|hit(?:ting)?|dns|many|more|lots of) ?time-?outs?\b`, `time-?outs? (?:error|calling|when|from|on|to|connecting|reaching|between|since|again|everywhere)`, `dial tcp`),
	words(`curl: ?\(\d+\)`, `network is unreachable`, `\bunreachable\b`, `broken pipe`, `(?:not|isn'?t|aren'?t) reachable`, `packet loss`),
	words(`containercreating`, `failedcreatepodsandbox`, `create pod sandbox`, `assign an? ip`, `insufficientfreeaddresses`, `(?:out|short) of (?:free )?ips?\b`, `out of (?:free )?ip address`, `ip (?:address )?(?:allocation|assignment|exhaust)\w*(?: \w+)? ?(?:fail|error)?`),
	words(`\bpods?\b.{0,40}\bpending\b`, `\bpending\b.{0,20}\bpods?\b`),
	words(`\b50[0-4]s\b`, `\b5xxs?\b`, `\b(?:http|status|code)(?: code)?:? ?5\d\d\b`, `^\W*50[234]\W*$`, `bad gateway`, `service (?:temporarily )?unavailable`, `gateway time-?out`),
	words(`\b50[234]\b.{0,40}(?:error|again|still|from|\bon\b|spike|alb|ingress|since|에러|오류|떠|뜨|나요|나와|납니|발생|응답|계속)`, `(?:return|giv|get|got|see|serv|throw|respond|show|error|down|alb|nlb|elb|ingress|intermittent|random|still|에서|계속|자꾸).{0,40}\b50[234]\b`, `\b500\b.{0,12}(?:error|from)`),
	words(`upstream (?:connect|timed|request|prematurely)`, `\btarget (?:\w+ ){0,2}?unhealthy`, `\btargets (?:\w+ ){0,6}?unhealthy`, `unhealthy (?:targets?|hosts?)`, `target\.(?:responsecodemismatch|timeout|failedhealthchecks|notregistered)`, `health ?checks? (?:\w+ ){0,2}?fail`, `x509`, `tls handshake`),
	words(`servfail`, `nxdomain`, `enotfound`, `eai_again`, `unknownhost`, `unknown host`, `name resolution`, `(?:could|can) ?not be resolved`, `(?:couldn'?t|can'?t) be resolved`, `bad address`,
		`(?:not|n'?t|cannot|fail\w* to|unable to|nothing|never|stopped) resolv(?:e|es|ing)\b`, `(?:host|name|domain)s? (?:or service )?(?:is |are )?not (?:known|found|resolv)`, `(?:not|n't|cannot) be looked up`, `lookups? (?:\w+ ){0,2}?fail`,
		`\bno(?:thing|body| (?:pods?|services?|apps?|names?|hosts?)) .{0,20}\b(?:can |could )?(?:be )?resolv`, `\b(?:domains?|names?|hosts?|hostnames?) .{0,20}\b(?:take|need)s? .{0,20}\bto resolve`,
		`service discovery (?:\w+ ){0,3}?(?:fail|broke|down|not|issue|error|problem|does|is)`, `(?:cannot|can'?t|can not|don'?t|do not) (?:find|discover|see) (?:each other|other services|services) by (?:their )?names?`,
		`external-?dns .{0,30}\b(?:not|n't|never|stopped|fail\w*|missing|no longer|stale|old|wrong|error|denied|accessdenied|throttl\w*|crash\w*|logs)`, `\b(?:dns )?records? .{0,40}\b(?:missing|not (?:created|updated|deleted|there|published)|stale|never created|n't (?:created|updated|deleted)|(?:never|not being) (?:created|updated|deleted|removed)|points? to (?:the |an? )?(?:old|wrong|previous|deleted))`, `\bstale (?:dns )?records?\b`),
	words(`(?:can'?t|cannot|can not|could ?n'?t|could not|unable to|not able to|fail\w* to|doesn'?t|don'?t|won'?t) (?:\w+ )?(?:reach|connect|talk to|communicate|access the internet|get out to)`, `\b(?:nothing|nobody|none|no (?:pods?|services?|nodes?)) .{0,40}\b(?:can|could|is able to) (?:reach|connect|talk|communicate|access)`, `^(?:can|could|does|is) .{1,80}\b(?:reach|reachable|connect to|talk to)\b`),
	words(`네트워크\s?(?:이슈|에러|오류|장애|문제|불안|끊)`, `dns\s?(?:이슈|에러|오류|장애|문제|조회)`, `(?:타임\s?아웃|시간\s?초과)(?:이|가|도|만|으로)?\s?(?:자꾸 |계속 |자주 )?(?:나|납|남|났|떠|뜨|뜹|발생|에러|오류|걸|생|떨어)`, `^\W*(?:타임\s?아웃|시간\s?초과)\W*$`, `연결\s?(?:거부|실패|불가|오류|끊)`, `연결(?:이|을|도)?\s?(?:자꾸 |계속 )?(?:거부|끊|안|실패|불가|못)`,
		`(?:통신|접속|접근)(?:이|을|도)?\s?(?:자꾸 |계속 )?(?:안|불가|실패|못|끊)`, `조회(?:가|를|이)?\s?(?:실패|안|불가|못)`, `(?:파드|pod).{0,20}(?:pending|펜딩|containercreating)`, `ip\s?(?:주소\s?)?(?:를|가)?\s?(?:할당|부족|고갈|못)`,
		`헬스\s?체크(?:가|를|에|도)?\s?.{0,6}(?:실패|안|못)`, `이름 풀이(?:가|를)?\s?(?:안|실패|못)`, `호스트를? (?:못 )?찾을 수`, `인터넷(?:이|으로|에)?\s?.{0,8}(?:안|끊|못)`),
}

// topic are the parts of a network; alone they are only talk.
var topic = words(
	`\bnetwork(?:ing|s)?\b`, `\bconnections?\b`, `\b(?:alb|nlb|elb|clb)s?\b`, `load ?-?balancers?`, `\bingress(?:es)?\b`, `target ?groups?`, `\btargets\b`, `health ?-?checks?`, `\bcert(?:ificate)?s?\b`, `\btls\b`, `\bssl\b`,
	`dns\b`, `core ?dns`, `name ?servers?`, `route ?53`, `\bhostnames?\b`, `\blookups?\b`, `nslookup`, `resolv\.conf`, `\bresolver\b`, `\bhosted zones?`,
	`\bsubnets?\b`, `\benis?\b`, `\bnat\b`, `internet gateway`, `route tables?`, `\brouting\b`, `\bip addresse?s?\b`, `\bips\b`, `\bcni\b`, `aws-node`, `\bpeering\b`, `transit gateway`, `\begress\b`, `\bvpc\b`, `pending`,
	`security ?-?groups?`, `\bsgs?\b`, `\bnacls?\b`, `network acls?`, `network ?polic(?:y|ies)`, `\bnetpols?\b`, `\bfirewall`, `\bports? \d+`, `kube-proxy`, `\bendpoints?\b`, `\bselector`, `\btelnet\b`, `\bpackets?\b`, `node[- ]to[- ]node`, `pod[- ]to[- ]pod`, `\blatency\b`, `\btraffic\b`, `\btime-?outs?\b`, `\btgs?\b`,
	`네트워크`, `도메인`, `로드\s?밸런서`, `인그레스`, `타겟\s?그룹`, `대상\s?그룹`, `헬스\s?체크`, `상태\s?검사`, `서브넷`, `라우팅`, `라우트`, `보안\s?그룹`, `방화벽`, `포트`, `엔드포인트`, `패킷`, `트래픽`, `네임\s?서버`, `인증서`, `통신|접속|연결`, `인터넷`, `타임\s?아웃`,
)

// trouble says that something is wrong.
var trouble = words(
	`\b(?:issue|problem|error|failure|outage|trouble)s?\b`, `\bfail(?:s|ed|ing)?\b`, `\b(?:broken|down|stuck|slow|flaky|flapping|weird|wrong|lost|missing|denied|dead|exhausted|full|unstable|degraded|unavailable|unhealthy|empty|expired|off)\b`,
	`\bbroke\b`, `\b(?:act(?:s|ing) (?:up|weird|strange|funny)|misbehav\w*|unhappy|glitch\w*|hiccups?|odd|strange|bad|unreliable|busted|dying|dies)\b`, `\bnot (?:\w+ing|\w+ed|ready)\b`, `\bnotready\b`, `\bnot work`, `n'?t (?:\w+ )?(?:work|resolv|start|update|load|respond|answer|com|get|go)`, `\b(?:can'?t|cannot|unable|wont|won'?t)\b`, `\bintermittent`, `\bdrop(?:s|ped|ping)?\b`, `\bblock(?:s|ed|ing)?\b`, `\bhang(?:s|ing)?\b`, `\blos(?:es|ing)\b`, `\bcrash`, `\bdisconnect`,
	`\bnothing\b`, `\bmatches no\b`, `\bno(?:address|healthy|ip|free)`, `\bran out\b`, `\brun(?:ning)? out\b`, `\blimit\b`, `\brefus`, `\bspik(?:e|es|ing)\b`, `\breject`,
	`이슈`, `문제`, `장애`, `에러`, `오류`, `실패`, `이상`, `먹통`, `느려|느리|느립`, `지연`, `끊`, `막히|막혔|막힘|막힌`, `부족`, `죽었|죽어`, `다운`, `안\s?(?:돼|되|됨|됩|됐|된|붙|열|가요|와|나|풀|잡|넘|떠|생|만들)`, `못\s?`, `불가`, `없(?:어|습|음|네)`, `unhealthy`, `멈`,
)

// looks are pleas to look at a topic; asks are what somebody who addresses
// the bot may say instead of naming anything.
var (
	looks = words(`\b(?:can|could|please|pls|someone|anyone|anybody)\b.{0,30}\b(?:check|look|diagnose|debug|investigate|help)`, `^(?:check|diagnose|debug|investigate|troubleshoot)\b`, `\bwhy\b`, `\b(?:what'?s|what is) (?:up|wrong|going on|happening)`, `확인\s?(?:해|부탁|좀|요청)`, `점검\s?(?:해|부탁|좀)`, `진단`, `봐\s?(?:줘|주세요|주실)`, `왜`)
	asks  = words(`\b(?:check|diagnose|debug|investigate|troubleshoot|look into|look at|status)\b`, `확인`, `점검`, `진단`, `봐\s?(?:줘|주)`)
)

// hostTrouble is trouble enough for a host that is named.
var hostTrouble = words(`\b(?:is|are|seems|looks|went|goes|keeps going) (?:\w+ )?(?:down|slow|broken|unreachable|unavailable|dead)\b`, `not (?:responding|loading|working|opening)`, `(?:doesn'?t|won'?t|can'?t) (?:be )?(?:work|load|open|respond|reach)`, `안\s?(?:돼|되|됨|됩|열|떠|붙|들어)`, `느려|느리|느립`, `접속`)

// help asks what the bot can do.
var help = words(`\bhelp\b`, `\busage\b`, `what (?:can|do) you do`, `how (?:do|can) i use`, `how do you work`, `\bcommands\b`, `도움말`, `사용법`, `도와`, `뭐\s?(?:할|해)`)

// denial is the part of a clause that says there is no such thing.
var denial = words(
	`\b(?:no|not any|without(?: any)?|not (?:see|seeing|getting|having) any|aren'?t any|zero) (?:more )?(?:[a-z0-9/-]+ ){0,2}?(?:issues?|errors?|problems?|failures?|outages?|troubles?|timeouts?|50\ds?|5xxs?)\b`,
	`(?:n't|\b(?:dont|didnt|doesnt)) (?:see|have|find|get|had) any (?:more )?(?:[a-z0-9/-]+ ){0,2}?(?:issues?|errors?|problems?|failures?|outages?|troubles?|timeouts?|50\ds?|5xxs?)\b`,
	`(?:n't|\b(?:not|never|isnt|wasnt)) (?:(?:really|even|actually|just) )?(?:an?|the|our|due to|caused by|about|because of|related to)(?: the| our| an?)? (?:[a-z0-9-]+ ){0,2}?(?:issues?|errors?|problems?|failures?|outages?|dns|network|connectivity|fault)\b`,
	`\b(?:not|never) (?:dns|network|connectivity)\b(?: (?:issue|error|problem|failure))?`,
	`(?:n't|\b(?:dont|doesnt|didnt)) (?:think|believe|look like|seem like|sound like|seem to be|appear to be)(?: (?:it|this|that))?(?:'?s| is| was| has)?(?: to do with| related to)?(?: an?| the| our| any)? (?:[a-z0-9-]+ ){0,2}?(?:issues?|errors?|problems?|failures?|dns|network|connectivity)\b`,
	`\b(?:nothing (?:wrong|to do) with|rul(?:e|ed|ing) out|unrelated to)(?: the| our| an?)? (?:[a-z0-9-]+ ){0,1}?(?:issues?|errors?|problems?|failures?|dns|network|connectivity|alb|load balancer)\b`,
)

var (
	koreanDenial   = words(`(?:이슈|에러|오류|장애|문제|탓)(?:는|은|가|이|도|로|때문)?\s?(?:전혀 )?(?:아니|아닙|아님|아녜|아녔|없|안 보)`, `(?:네트워크|dns|연결|통신)(?:는|은|가|이|쪽은?)?\s?(?:아니|아닙|아님|정상|이상\s?(?:없|무)|괜찮)`)
	koreanQuestion = words(`(?:아닌가|아닐까|아닌지|없나|없는지|없을까|아니야\?|아니에요\?)`)
)

// over says that it has passed, unless notOver stands beside it.
var (
	over = words(
		`\b(?:is|are|was|were|been|got|gets|now|all|'?s|already|has|have|had|i|we|they|just|finally|issues?|errors?|problems?|outage|failures?|50\ds) (?:now |all |already |finally |been |just )*(?:fixed|resolved|solved|sorted|gone|mitigated|recovered|over)\b`,
		`^\W*(?:\[?(?:fixed|resolved|solved|recovered|closed|ok)\]?\s?[:\]-])`, `\b(?:back to normal|back up|working again|works (?:now|again|fine)|all good|false (?:alarm|positive)|never ?mind|nvm|my (?:own )?(?:bad|typo|mistake|fault)|recovered|no longer)\b`,
		`해결\s?(?:됐|되었|됨|됬|했|완료|하였|된)`, `복구\s?(?:됐|되었|됨|했|완료|하였)`, `정상화`, `정상\s?(?:입니다|이에요|작동|동작|으로|확인)`, `괜찮아졌`, `고쳤`, `조치\s?(?:완료|했)`, `마무리\s?(?:됐|되었|됨|했)`, `오탐`, `이제\s?(?:잘\s?)?(?:돼|됩|되네)`, `잘\s?(?:돼요|됩니다|되네)`,
	)
	notOver = words(`\b(?:not|never|still|again|unless|until|isn'?t|wasn'?t|aren'?t|hasn'?t|haven'?t|how|why|when|can|could|need|needs|please|must|to be|once|if|should)\b`, `아직`, `여전히`, `다시`, `않`, `안\s?(?:돼|되|됨|됩|됐)`, `못`, `는데`, `no longer (?:work|resolv|reach|connect|respond)`)
)

// elsewhere is talk of another sort of network, or of a case that is not
// given. about is talk about faults; with goingOn it is one.
var (
	elsewhere = words(
		`\bsocial (?:network|media)`, `\bnetworking (?:event|opportunit|session|lunch|party|drinks|dinner|meetup|night|day|breakfast)`, `\b(?:professional|neural|tv|alumni|people|partner|dealer|support) networks?\b`, `\blinkedin\b`, `\bnetwork (?:engineer|admin\w*) (?:role|position|job|opening)`, `\bhiring\b`, `\bjob (?:opening|post|ad)`,
		`\b(?:wi-?fi|zoom|google meet|printer|airpods|bluetooth|my (?:home|phone|vpn|internet|isp|hotel))\b`, `\b(?:my|his|her|a|new|on|this) laptop(?:'?s)? (?:is|has|can|wo|does|did|keeps|drops|loses|and|screen|again|still)`, `(?:on|with|of) (?:my|a|the) laptop\b`, `\bthank(?:s| you)(?: \w+){0,2} for\b`, `\b(?:unit|integration|e2e|regression) tests?\b`, `\b(?:in|on) ci\b`, `\bci (?:job|build|pipeline|run)`,
		`\bif (?:you|we|anyone|anybody|somebody|someone|they|there)(?:'?s| is| are| was)?(?: ever| should)? ?(?:an?|another|see|sees|get|gets|have|has|hit|notice|encounter|experience|run into)\b.{0,40}(?:issue|error|problem|failure|outage|connectivity)`, `\b(?:in case of|whenever there|next time)\b`,
		`^\W*(?:so |and )?(?:what(?:'?s| is| are) (?:an? |the difference|the meaning)|how (?:does|do) [a-z0-9 -]{1,40} work\b|what does .{1,60} mean|define |explain )`,
		`\b(?:add|added|adding|adds|write|wrote|writing|review|reviewed|reviewing)\b.{0,50}\b(?:prs?|pull request|tests?|test case|mr|feature|retry logic)\b`,
		`네트워킹\s?(?:행사|모임|데이|파티|세션)`, `소셜\s?네트워크`, `인맥`, `와이파이`, `채용`, `회식`, `설정값`, `pr\s?(?:올|리뷰|머지)`,
	)
	about = words(
		`\bpost-?mortem`, `\bretro(?:spective)?\b`, `\brca\b`, `\bmeeting\b`, `\bstand-?up\b`, `\bblog\b`, `\barticle\b`, `\bwebinar\b`, `\bpodcast\b`, `\btalk (?:on|about)\b`, `\bslides\b`, `\bpresentation\b`, `\bconference\b`, `\b(?:course|training|workshop|certification|tutorial|lecture)\b`, `\brunbooks?\b`, `\bplaybooks?\b`, `\bnewsletter\b`,
		`\bdocs? (?:for|about|on)\b`, `\bdocumentation\b`, `\binterview`, `\b(?:quiz|joke|meme|trivia)\b`, `\b(?:drill|game ?day|chaos)\b`, `\b(?:simulat\w+|rehears\w+)\b`, `\b(?:yesterday|last (?:night|week|month|year))'?s (?:\w+ ){0,3}(?:issue|error|problem|failure|outage|incident)s?\b`, `\b(?:love|great) (?:this|that|our|the) network`,
		`회고`, `포스트\s?모템`, `세미나`, `밋업`, `스터디`, `교육`, `강의`, `블로그`, `발표`, `런북`, `회의`, `미팅`,
	)
	goingOn = words(`\b(?:again|still|right now|currently|just like|same as|as in|happening|at the moment)\b`, `다시`, `또\s`, `지금`)
)

// A pointer is words that point to a layer. Weight 1 is for words that go
// along with faults of any layer, 3 for those that leave no doubt.
type pointer struct {
	layer  facts.Layer
	weight int
	words  *regexp.Regexp
}

var pointers = []pointer{
	{facts.L3, 3, words(`assign an? ip`, `(?:out|short) of (?:free )?ips?\b`, `out of (?:free )?ip address`, `ip (?:address )?(?:allocation|assignment|exhaust)`, `nofree ?ip`, `insufficientfreeaddresses`, `noip\b`, `ip\s?(?:주소\s?)?(?:를|가)?\s?(?:할당|부족|고갈|못)`)},
	{facts.L3, 2, words(`containercreating`, `pod ?sandbox`, `\bpods?\b.{0,40}\bpending\b`, `\bpending\b.{0,20}\bpods?\b`, `(?:파드|pod).{0,20}(?:pending|펜딩)`)},
	{facts.L3, 2, words(`\bsubnets?\b`, `\benis?\b`, `\bcidrs?\b`, `\bnat\b`, `internet gateway`, `\bigw\b`, `route tables?`, `\brouting\b`, `noroutetohost`, `network is unreachable`, `\bpeering\b`, `transit gateway`, `서브넷`, `라우팅`, `라우트`)},
	{facts.L3, 2, words(`\bcni\b`, `aws-node`, `\bipamd\b`, `\bip addresse?s?\b`, `\bmtu\b`)},
	{facts.L3, 2, words(`\binternet\b`, `nointernet`, `\begress\b`, `\boutbound\b`, `인터넷`)},
	{facts.L4, 3, words(`security ?-?groups?`, `\bsgs?\b`, `\bnacls?\b`, `network acls?`, `network ?polic(?:y|ies)`, `\bnetpols?\b`, `\bfirewall`, `보안\s?그룹`, `네트워크\s?(?:정책|폴리시)`, `방화벽`)},
	{facts.L4, 2, words(`connection (?:was |is |gets? |got )?(?:refused|reset)`, `econn(?:refused|reset)`, `connect: connection`, `연결\s?거부`, `연결이\s?거부`)},
	{facts.L4, 2, words(`\bi/o timeout`, `etimedout`, `connection timed? ?out`, `deadline exceeded`, `curl: ?\((?:7|28|52|56)\)`)},
	{facts.L4, 2, words(`gateway time-?out`, `target\.timeout`)},
	{facts.L4, 2, words(`noendpoint`, `\bendpoints? (?:is |are )?(?:empty|missing)`, `\bselector`, `엔드포인트`, `kube-proxy`, `conntrack`, `\btelnet\b`, `\bnode[- ]to[- ]node`, `\bpod[- ]to[- ]pod`, `between (?:the )?(?:pods|nodes|services)`)},
	{facts.L4, 1, words(`\btime[ds]?[- ]?outs?\b`, `\btiming out\b`, `타임\s?아웃`, `시간\s?초과`, `\bports? \d+`, `\breach`, `\bunreachable`, `\bconnect(?: to)?\b`, `\btalk to\b`, `\bcommunicate`, `\bconnections?\b`, `연결`, `통신`, `접속`, `포트`, `\bpackets?\b`)},
	{facts.L7, 3, words(`\b(?:alb|nlb|elb|clb)s?\b`, `load ?-?balancers?`, `\bingress(?:es)?\b`, `target ?groups?`, `\btargets? (?:\w+ ){0,2}?unhealthy`, `unhealthy (?:targets?|hosts?)`, `nohealthy`, `\btgs?\b`, `\btargets (?:\w+ ){0,6}?unhealthy`, `로드\s?밸런서`, `인그레스`, `타겟\s?그룹`, `대상\s?그룹`, `\ball targets\b`)},
	{facts.L7, 3, words(`\b50[0-4]s?\b`, `\b5xxs?\b`, `bad gateway`, `service (?:temporarily )?unavailable`, `gateway time-?out`, `upstream (?:connect|timed|request|prematurely)`)},
	{facts.L7, 4, words(`target\.\w+`)},
	{facts.L7, 3, words(`health ?-?checks?`, `헬스\s?체크`, `상태\s?검사`)},
	{facts.L7, 2, words(`\bx509\b`, `\btls\b`, `\bssl\b`, `\bcert(?:ificate)?s?\b`, `인증서`)},
	{facts.DNS, 3, words(`dns\b`, `core ?dns`, `route ?53`, `nosuchhost`, `servfail`, `nxdomain`, `enotfound`, `eai_again`, `unknownhost`, `unknown host`, `name resolution`, `nslookup`, `name ?servers?`, `resolv\.conf`, `getaddrinfo`, `curl: ?\(6\)`, `도메인`, `네임\s?서버`, `이름 풀이`)},
	{facts.DNS, 3, words(`(?:not|n'?t|cannot|fail\w* to|unable to|nothing|never|stopped) (?:be )?resolve\b`, `not resolving`, `(?:can'?t|cannot|couldn'?t|could not) be resolved`, `resolv(?:e|es|ed|ing)? anything`, `to resolve\b`, `\bservice discovery\b`, `by (?:their )?names?\b`, `\b(?:dns )?records?\b`, `\bresolver\b`, `\blookups?\b`, `\blooked up\b`, `\bresolve HOST`, `name or service not known`, `\bhostnames?\b`, `:53\b`, `port 53\b`, `hosted zones?`, `bad address`, `호스트를? (?:못 )?찾`, `dns\s?조회`)},
}
