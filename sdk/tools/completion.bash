# Completion of the nova-* tools for bash.
#
# SPDX-License-Identifier: MIT

_nova_tools()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} options files=
    COMPREPLY=()
    case $previous in
    --bochs)
        mapfile -t COMPREPLY < <(compgen -W 'corei7_skylake_x sandy_bridge_2600k tigerlake ryzen' -- "$current")
        return ;;
    --report) mapfile -t COMPREPLY < <(compgen -W 'text dot json table' -- "$current"); return ;;
    --lib) mapfile -t COMPREPLY < <(compgen -W 'none libc' -- "$current"); return ;;
    --search | --dir) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --output | -o | --manifest | --kernel | --root | --elf | --table | --files)
        mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --cpus | --memory | --timeout | --machine-cpus | --machine-memory | --qemu-arg | --env) return ;;
    esac
    case ${COMP_WORDS[0]##*/} in
    nova-image) options='-o --output --check --report --manifest --count-lines --kernel --root --search --machine-memory
        --machine-cpus --help --version'; files=nova ;;
    nova-run) options='--bochs --uefi --cpus --memory --timeout --tap --raw --no-console --env --files
        --gdb --icount --kernel --root --search --qemu-arg --keep --help --version'; files='nova elf' ;;
    nova-gdb) options='--cpus --memory --kernel --root --search --help --version'; files='nova elf' ;;
    nova-symbolize) options='--elf --dir --table --help --version' ;;
    nova-new) options='--lib --service --help --version' ;;
    nova-config) options='--nolibc --prefix --sysroot --cflags --libs --libdir --kernel --root --templates --version
        --help' ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ -n $files ]]; then
        mapfile -t COMPREPLY < <(compgen -d -- "$current"
            for ending in $files; do compgen -f -X "!*.$ending" -- "$current"; done)
    fi
}

complete -o filenames -F _nova_tools nova-image nova-run nova-gdb nova-symbolize nova-new nova-config
