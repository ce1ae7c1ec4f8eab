#include "clibvirt_host.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int clibvirt_gets_orphans(void)
{
    int is_subreaper = 0;

    return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper) == 0 && is_subreaper);
}

int clibvirt_has_ended_child(void)
{
    siginfo_t info = {0};

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}
