/* Names of statuses, for the messages of embedders and tests. */
#include <ept/types.h>

const char *pt_status_name(enum pt_status status)
{
    switch (status) {
    case PT_OK:
        return "ok";
    case PT_END:
        return "end of range";
    case PT_EINVAL:
        return "invalid argument";
    case PT_ERANGE:
        return "outside the range";
    case PT_ENOMEM:
        return "out of tables";
    case PT_ETABLE:
        return "allocated page cannot be a table";
    case PT_EOCCUPIED:
        return "already mapped";
    case PT_EFRAME:
        return "frame refused";
    case PT_EMODE:
        return "cursor cannot do this";
    case PT_EUNEQUAL:
        return "leaves are not the pieces of one";
    case PT_ECORRUPT:
        return "corrupt tables";
    }
    return "unknown status";
}
