"""Completion for a shell: text that bash and zsh evaluate, made from the scripts' own parsers."""

import shlex
from collections.abc import Iterable, Mapping
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import typer

from rollout.model.plan import CHECKS
from scripts.console import app_of

_FOLDERS: Final = frozenset({"work_dir", "out"})
VALUES: Final[Mapping[str, str]] = {"--skip": " ".join(CHECKS)}
"""The words that an option takes, where there are few."""

# Written for both shells: zsh runs it by bashcompinit, in which arrays begin at 0 as in bash.
# https://zsh.sourceforge.io/Doc/Release/Completion-System.html#Use-of-compinit
_FUNCTION: Final = r"""_rollout_scripts() {
  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"
  local script="" folder="." options="" files="" folders="" place
  COMPREPLY=()
  # bash takes --stack=prod for three words.
  if [ "$current" = "=" ]; then current=""; elif [ "$before" = "=" ]; then before="${COMP_WORDS[COMP_CWORD-2]}"; fi
  for (( place = 1; place < COMP_CWORD; place++ )); do
    case "${COMP_WORDS[place]}" in
      -m) if [ -z "$script" ]; then script="${COMP_WORDS[place+1]}"; fi ;;
      --work-dir) if [ "${COMP_WORDS[place+1]}" = "=" ]; then folder="${COMP_WORDS[place+2]}"
        else folder="${COMP_WORDS[place+1]}"; fi ;;
    esac
  done
  if [ "$before" = "-m" ]; then
    COMPREPLY=( $(compgen -W "@MODULES@" -- "$current") )
    return
  fi
  case "$script" in
@SCRIPTS@
    *) return ;;
  esac
  case "$before" in
    --stack|-s)
      COMPREPLY=( $(compgen -W "$(cd "$folder" 2>/dev/null && for place in Pulumi.*.yaml; do
        if [ -e "$place" ]; then place="${place#Pulumi.}"; echo "${place%.yaml}"; fi; done)" -- "$current") )
      return ;;
@VALUES@
  esac
  case " $folders " in *" $before "*) COMPREPLY=( $(compgen -d -- "$current") ); return ;; esac
  case " $files " in *" $before "*) COMPREPLY=( $(compgen -f -- "$current") ); return ;; esac
  COMPREPLY=( $(compgen -W "$options" -- "$current") )
}
complete -o bashdefault -o default -F _rollout_scripts python python3
"""
_ZSH: Final = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


class Shell(StrEnum):
    """A shell that can be completed."""

    BASH = "bash"
    ZSH = "zsh"


def completion(shell: Shell, names: Iterable[str]) -> str:
    """Return what a shell evaluates to complete these scripts."""
    known = list(names)
    modules = " ".join(["scripts", *(f"scripts.{name}" for name in known)])
    values = "\n".join(
        f'    {option}) COMPREPLY=( $(compgen -W {shlex.quote(words)} -- "$current") ); return ;;'
        for option, words in VALUES.items()
    )
    text = _FUNCTION.replace("@MODULES@", modules).replace("@SCRIPTS@", "\n".join(map(_case, known)))
    return (_ZSH if shell is Shell.ZSH else "") + text.replace("@VALUES@", values)


def parser_of(name: str) -> Any:
    """Return the parser of a script's command line, which typer makes."""
    module = import_module(f"scripts.{name}")
    return typer.main.get_command(app_of(module.main, module.SCRIPT))


def _case(name: str) -> str:
    given = [one for one in parser_of(name).params if one.param_type_name == "option"]
    hints = get_type_hints(import_module(f"scripts.{name}").main)
    paths = [one for one in given if Path in (hints.get(one.name), *get_args(hints.get(one.name)))]
    options = [flag for one in given for flag in one.opts if flag.startswith("--")]
    folders = [flag for one in paths for flag in one.opts if one.name in _FOLDERS]
    files = [flag for one in paths for flag in one.opts if one.name not in _FOLDERS]
    words = {"options": [*options, "--help"], "files": files, "folders": folders}
    return (
        f"    scripts.{name}) " + " ".join(f"{key}={shlex.quote(' '.join(one))}" for key, one in words.items()) + " ;;"
    )
