import Custody
import CustodyOptions
import CustodyPolicy

/// Rules that are made of policies.
extension Rule {
    static let composition: [Rule] = [
        Rule(
            "all-of",
            "Several policies that must all agree: the strictest decision counts.",
            Format<[any Policy]>.list(of: PolicyFormat.reference).map { (policies, _) in AllOf(policies) }
        ),
        Rule(
            "first-of",
            "Several cases, of which the first that matches decides alone.",
            Format<[FirstOf.Case]>
                .list(
                    of: .mapping(
                        .optional("when", matcher, "Which requests are meant; all unless named."),
                        .required("policy", PolicyFormat.reference, "What decides about them.")
                    ) { (matcher, policy) in FirstOf.Case(when: matcher ?? RequestMatcher(), policy) }
                )
                .map { (cases, _) in FirstOf(cases) }
        ),
        Rule(
            "per-range",
            "Policies for some pages: each is asked about the part of a request that lies in them.",
            Format<[PerRange]>
                .list(
                    of: .mapping(
                        .range,
                        .required("policy", PolicyFormat.reference, "What decides about the pages.")
                    ) { (range, policy) in PerRange(range, policy) }
                )
                .map { (policies, _) in AllOf(policies) }
        ),
    ]

    private static let matcher = Format<RequestMatcher>.mapping(
        .optional("by", .set(of: .word()), "Who asks."),
        .optional("to", .set(of: ownership), "What the pages are to become."),
        .optional("within", .range, "Pages that all of the request lies in."),
        .optional("meeting", .range, "Pages that the request has some of.")
    ) { (requesters, targets, within, meeting) in
        RequestMatcher(requesters: requesters, targets: targets, within: within, meeting: meeting)
    }
}
