/* Why a guest came back or ended, and its registers, as the JSON of the protocol: see values.h. */
#include "vmm/control/text.h"
#include "vmm/control/values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A register uses all 64 bits, more than every JSON reader keeps, so it travels as text. */
static json_t *register_json(uint64_t value)
{
    char text[19];
    snprintf(text, sizeof text, "0x%016" PRIx64, value);
    return json_string(text);
}

struct named_register {
    const char *name;
    size_t offset;
};

#define REGISTER(name)                                                                                                 \
    {                                                                                                                  \
#name, offsetof(struct cleave_registers, name)                                                                 \
    }

static const struct named_register registers_of_64_bits[] = {
    REGISTER(rax), REGISTER(rbx), REGISTER(rcx),  REGISTER(rdx),      REGISTER(rsi),      REGISTER(rdi), REGISTER(rbp),
    REGISTER(rsp), REGISTER(r8),  REGISTER(r9),   REGISTER(r10),      REGISTER(r11),      REGISTER(r12), REGISTER(r13),
    REGISTER(r14), REGISTER(r15), REGISTER(rip),  REGISTER(rflags),   REGISTER(cr0),      REGISTER(cr2), REGISTER(cr3),
    REGISTER(cr4), REGISTER(cr8), REGISTER(efer), REGISTER(gdt_base), REGISTER(idt_base),
};

static const struct named_register segments[] = {
    REGISTER(cs), REGISTER(ds), REGISTER(es), REGISTER(fs), REGISTER(gs), REGISTER(ss), REGISTER(tr), REGISTER(ldt),
};

static json_t *segment_json(const struct cleave_segment *segment)
{
    return json_pack("{s:i, s:o, s:I, s:i, s:i, s:b, s:b, s:b, s:b, s:b}", "selector", (int)segment->selector, "base",
                     register_json(segment->base), "limit", (json_int_t)segment->limit, "type", (int)segment->type,
                     "dpl", (int)segment->dpl, "present", (int)segment->present, "system", (int)segment->system,
                     "long_mode", (int)segment->long_mode, "big", (int)segment->big, "granular",
                     (int)segment->granular);
}

json_t *registers_json(const struct cleave_registers *registers)
{
    json_t *object = json_object();
    int result = object ? 0 : -1;
    for (size_t i = 0; result == 0 && i < sizeof registers_of_64_bits / sizeof *registers_of_64_bits; i++) {
        uint64_t value;
        memcpy(&value, (const char *)registers + registers_of_64_bits[i].offset, sizeof value);
        result = json_object_set_new(object, registers_of_64_bits[i].name, register_json(value));
    }
    for (size_t i = 0; result == 0 && i < sizeof segments / sizeof *segments; i++) {
        struct cleave_segment segment;
        memcpy(&segment, (const char *)registers + segments[i].offset, sizeof segment);
        result = json_object_set_new(object, segments[i].name, segment_json(&segment));
    }
    if (result == 0)
        result = json_object_set_new(object, "gdt_limit", json_integer(registers->gdt_limit));
    if (result == 0)
        result = json_object_set_new(object, "idt_limit", json_integer(registers->idt_limit));
    if (result == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* Adds what is known of the crash. -1 when out of memory. */
static int add_crash(json_t *object, const struct cleave_crash *crash)
{
    const struct cleave_registers *registers = crash->has_registers ? &crash->registers : NULL;
    json_t *known = json_pack("{s:I, s:o*, s:o*, s:o*, s:o*, s:o*}", "vcpu", (json_int_t)crash->vcpu, "vector",
                              crash->has_exception ? json_integer(crash->vector) : NULL, "error_code",
                              crash->has_error_code ? json_integer((json_int_t)crash->error_code) : NULL, "rip",
                              registers ? register_json(registers->rip) : NULL, "cr2",
                              registers ? register_json(registers->cr2) : NULL, "registers",
                              registers ? registers_json(registers) : NULL);
    const int result = known ? json_object_update(object, known) : -1;
    json_decref(known);
    return result;
}

json_t *with_crash(json_t *object, const struct cleave_crash *crash)
{
    if (!object || !crash || add_crash(object, crash) == 0)
        return object;
    json_decref(object);
    return NULL;
}

const char *const stop_reason_names[] = {
    [CLEAVE_STOP_EXIT] = "exit",           [CLEAVE_STOP_CRASH] = "crash",   [CLEAVE_STOP_HALT] = "halt",
    [CLEAVE_STOP_MARK] = "mark",           [CLEAVE_STOP_READY] = "ready",   [CLEAVE_STOP_TIME] = "time",
    [CLEAVE_STOP_INTERRUPT] = "interrupt", [CLEAVE_STOP_KILLED] = "killed",
};

json_t *stop_json(const struct cleave_stop *stop)
{
    const char *name = stop_reason_names[stop->reason], *message = stop->crash.reason;
    switch (stop->reason) {
    case CLEAVE_STOP_EXIT:
        return json_pack("{s:s, s:I, s:I}", "reason", name, "vcpu", (json_int_t)stop->vcpu, "exit_code",
                         (json_int_t)stop->value);
    case CLEAVE_STOP_MARK:
    case CLEAVE_STOP_READY:
        return json_pack("{s:s, s:I, s:I}", "reason", name, "vcpu", (json_int_t)stop->vcpu, "value",
                         (json_int_t)stop->value);
    case CLEAVE_STOP_CRASH:
        return with_crash(json_pack("{s:s, s:o}", "reason", name, "message", text_json(message, strlen(message))),
                          &stop->crash);
    case CLEAVE_STOP_HALT:
    case CLEAVE_STOP_TIME:
    case CLEAVE_STOP_INTERRUPT:
    case CLEAVE_STOP_KILLED:
        break;
    }
    return json_pack("{s:s}", "reason", name);
}

json_t *end_json(enum cleave_end end)
{
    static const char *const names[] = {
        [CLEAVE_END_EXIT] = "exit",
        [CLEAVE_END_KILLED] = "killed",
        [CLEAVE_END_CRASH] = "crash",
    };
    return end == CLEAVE_END_NONE ? json_null() : json_string(names[end]);
}

json_t *exit_code_json(enum cleave_end end, uint32_t code)
{
    return end == CLEAVE_END_EXIT ? json_integer(code) : json_null();
}

json_t *ending_json(enum cleave_end end, uint32_t exit_code, const struct cleave_crash *crash)
{
    json_t *message = crash ? text_json(crash->reason, strlen(crash->reason)) : NULL;
    return with_crash(json_pack("{s:o, s:o, s:o*}", "reason", end_json(end), "exit_code",
                                exit_code_json(end, exit_code), "message", message),
                      crash);
}
