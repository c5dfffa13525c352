export function hostScripts(): { HOST_SCRIPTS: string };
